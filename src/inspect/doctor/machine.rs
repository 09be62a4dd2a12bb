//! The operating system and the limits of this process.

use super::Finding;
use crate::inspect::ByteSize;
use crate::shm::header::LAYOUT_VERSION;
use crate::sys;

/// Looks at the operating system, its calls, and this process's limits.
pub fn machine() -> Vec<Finding> {
    let backend = sys::backend();
    let mut findings = vec![Finding::good(
        "system",
        format!(
            "{} on {}, backend {backend}, layout version {LAYOUT_VERSION}",
            sys::system_name(),
            std::env::consts::ARCH
        ),
    )];
    findings.extend(sys::features().iter().map(feature));
    findings.extend(sys::limits().iter().map(limit));
    findings
}

fn feature(feature: &sys::Feature) -> Finding {
    match &feature.answer {
        Ok(()) => Finding::good(feature.name, "works"),
        Err(error) if feature.needed => Finding::failure(
            feature.name,
            error.to_string(),
            "nothing works without it: use a newer kernel, or allow the call in the container's system call filter",
        ),
        Err(error) => Finding::warning(feature.name, error.to_string(), substitute(feature.name)),
    }
}

/// What happens without a feature.
fn substitute(name: &str) -> &'static str {
    match name {
        "MADV_WIPEONFORK" => {
            "forked children are recognised by a fork handler instead, which a raw clone call bypasses: use Linux 4.14 or newer"
        }
        "memfd_create" | "pidfd_open" | "futex_waitv" => {
            "a slower substitute is used: a newer kernel, or a system call filter that allows it, is faster"
        }
        "/proc" => {
            "pids and start times cannot be shown, and some kernels cannot publish without it: mount /proc"
        }
        _ => "a substitute is used",
    }
}

fn limit(limit: &sys::Limit) -> Finding {
    let text = |value| {
        if limit.what.starts_with("bytes") { ByteSize(value).to_string() } else { value.to_string() }
    };
    match limit.value {
        None => Finding::good(limit.name, format!("no limit ({})", limit.what)),
        Some(value) if value >= limit.least => {
            Finding::good(limit.name, format!("{} {}", text(value), shortened(limit.what)))
        }
        Some(value) => Finding::warning(
            limit.name,
            format!("{} {}", text(value), shortened(limit.what)),
            format!("raise it to {} or more (ulimit, sysctl, or the container's limits)", text(limit.least)),
        ),
    }
}

/// A size names its unit itself.
fn shortened(what: &str) -> &str {
    what.strip_prefix("bytes ").unwrap_or(what)
}

#[cfg(test)]
mod tests {
    use std::io::{Error, ErrorKind};

    use super::super::Level;
    use super::*;

    #[test]
    fn a_needed_call_that_fails_is_a_failure_and_others_are_warnings() {
        let missing =
            |name, needed| sys::Feature { name, needed, answer: Err(Error::from(ErrorKind::Unsupported)) };
        assert_eq!(feature(&missing("MADV_DONTFORK", true)).level, Level::Failure);
        assert_eq!(feature(&missing("futex_waitv", false)).level, Level::Warning);
    }

    #[test]
    fn a_low_limit_is_a_warning_that_names_the_right_value() {
        let of = |value| limit(&sys::Limit { name: "L", what: "bytes of one object", value, least: 1 << 30 });
        assert_eq!(of(None).level, Level::Good);
        assert_eq!(of(Some(1 << 30)).found, "1.0 GiB of one object");
        let low = of(Some(1 << 20));
        assert_eq!(low.level, Level::Warning);
        assert!(low.advice.unwrap().contains("1.0 GiB"));
    }
}
