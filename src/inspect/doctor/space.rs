//! A space: its directory, its registry, and what lies in it.

use std::path::Path;

use super::Finding;
use crate::inspect::{Entry, Fact, Facts, Form, Inspector, Life, Who};
use crate::participant::Space;
use crate::shm::Lifetime;
use crate::sys::{self, Trust};

/// Looks at the space in `directory` and at everything in it, without changing anything.
pub fn space(directory: impl AsRef<Path>, trust: Trust) -> Vec<Finding> {
    let directory = directory.as_ref();
    let check = format!("{}", directory.display());
    let inspector = match Inspector::lenient(&Space::at(directory).trust(trust)) {
        Ok(inspector) => inspector,
        Err(error) => return vec![Finding::error(check, &error)],
    };
    let mut findings = vec![access(directory, trust)];
    findings.push(members(&inspector));
    match inspector.list() {
        Ok(entries) => {
            let count = entries.len();
            findings.extend(entries.iter().flat_map(|entry| file(&inspector, entry, trust)));
            let objects = if count == 1 { "1 file".to_owned() } else { format!("{count} files") };
            findings.push(Finding::good(format!("{check} objects"), objects));
        }
        Err(error) => findings.push(Finding::error(format!("{check} objects"), &error)),
    }
    findings
}

/// The mode that the trust implies.
fn widest(trust: Trust) -> u32 {
    match trust {
        Trust::Owner | Trust::User(_) => 0o700,
        Trust::Group => 0o770,
        Trust::Anyone => 0o777,
    }
}

fn access(directory: &Path, trust: Trust) -> Finding {
    let check = format!("{} mode", directory.display());
    match sys::file_facts(directory) {
        Err(error) => Finding::failure(check, error.to_string(), "make the directory"),
        Ok(found) => {
            let Some(mode) = found.mode else {
                return Finding::good(check, "has no permission bits on this system");
            };
            let said = format!("owner {}, mode {mode:04o}", found.owner);
            let allowed = widest(trust);
            if mode & 0o777 & !allowed == 0 {
                Finding::good(check, said)
            } else {
                let advice = format!("others can look into it: chmod {allowed:o} '{}'", directory.display());
                Finding::warning(check, said, advice)
            }
        }
    }
}

fn members(inspector: &Inspector) -> Finding {
    let check = format!("{} participants", inspector.directory().display());
    let (living, capacity) = match (inspector.participants(), inspector.capacity()) {
        (Ok(living), Some(capacity)) => (living.len(), capacity),
        (Err(error), _) => return Finding::error(check, &error),
        (Ok(living), None) => return Finding::good(check, living.len().to_string()),
    };
    let said = format!("{living} of at most {capacity}");
    if living * 10 >= capacity as usize * 9 {
        Finding::warning(
            check,
            said,
            "end some, or make a new space with more (SpaceBuilder::participants): soon nobody else can join",
        )
    } else {
        Finding::good(check, said)
    }
}

/// What is wrong with one file.
fn file(inspector: &Inspector, entry: &Entry, trust: Trust) -> Vec<Finding> {
    let path = inspector.directory().join(&entry.name);
    let check = format!("{}", path.display());
    let idle = entry.attached.is_empty() && !entry.readers;
    let sweep = format!("remove it: procshare gc --space '{}'", inspector.name());
    let mut findings = Vec::new();
    match (&entry.content, entry.form) {
        (_, Form::Foreign) => findings.push(Finding::warning(
            check.clone(),
            "no object can have that name: something else put it there",
            "remove the file if nothing needs it",
        )),
        (_, Form::Unpublished) if idle => {
            findings.push(Finding::warning(check.clone(), "a dead creator's remains", sweep));
        }
        (_, Form::Unpublished) => {}
        (Err(error), _) => findings.push(Finding::error(check.clone(), error)),
        (Ok(content), _) => {
            if content.lifetime == Lifetime::Scoped && idle {
                findings.push(Finding::warning(check.clone(), "nobody needs it any more", sweep));
            }
            findings.extend(state(inspector, entry, &check));
        }
    }
    if let Some(mode) = sys::file_facts(&path).ok().and_then(|found| found.mode)
        && mode & 0o777 & !widest(trust) != 0
    {
        let mode = mode & 0o777;
        findings.push(Finding::warning(
            check,
            format!("mode {mode:04o} is wider than the space's trust"),
            format!(
                "chmod {:o} '{}' unless others shall use it",
                mode & widest(trust) & 0o666,
                path.display()
            ),
        ));
    }
    findings
}

/// What an object's own description says that is worth a word.
fn state(inspector: &Inspector, entry: &Entry, check: &str) -> Vec<Finding> {
    let facts = match inspector.detail(&entry.name) {
        Ok(facts) => facts,
        Err(crate::Error::NotFound { .. }) => return Vec::new(),
        Err(error) => return vec![Finding::error(check, &error)],
    };
    let mut findings = Vec::new();
    judge(&facts, check, &mut findings);
    findings
}

/// Looks through facts and the parts in them.
fn judge(facts: &Facts<Who>, check: &str, findings: &mut Vec<Finding>) {
    for (label, fact) in facts {
        match (*label, fact) {
            ("holder", Fact::Who(who)) if who.life == Life::Dead => findings.push(Finding::warning(
                check,
                format!("its holder {} is dead", who.id),
                "nothing to do: whoever uses it next takes over and is told",
            )),
            ("inconsistent", Fact::Text(cause)) => findings.push(Finding::warning(
                check,
                format!("its holder {cause} while holding it"),
                "everybody who takes it is told, until one has checked what it protects and called make_consistent",
            )),
            (_, Fact::Part(part)) => judge(part, check, findings),
            (_, Fact::List(list)) => {
                for fact in list {
                    if let Fact::Part(part) = fact {
                        judge(part, check, findings);
                    }
                }
            }
            _ => {}
        }
    }
}
