//! Transactions over several objects, by version check.

use std::collections::BTreeMap;

use crate::manager::Manager;
use crate::manager::client::call::{Call, Target, nothing};
use crate::manager::error::{ManagerError, ManagerResult};
use crate::manager::wire::pack;
use crate::manager::wire::read::Reader;

/// How often a transaction is tried.
const TRIES: usize = 1000;

/// What a transaction has read, and what it will do.
pub struct Transaction<'a> {
    manager: &'a Manager,
    /// The version of each object that was read, at its first reading.
    versions: BTreeMap<u64, u64>,
    /// Calls, one behind the other.
    calls: Vec<u8>,
    count: u32,
}

impl Manager {
    /// Does several calls on several objects in one step, if nothing that was read has changed meanwhile.
    ///
    /// The function reads and plans; then all it planned is done, or nothing. If somebody was faster it runs again, at most 1,000
    /// times. Dicts, lists, namespaces, values and arrays take part. If the function or a planned call fails, nothing is done.
    ///
    /// # Errors
    ///
    /// Those of the function, of the calls, and [`ManagerError::Conflict`].
    ///
    /// ```no_run
    /// # fn main() -> procshare::Result<()> {
    /// # let manager = procshare::manager::Manager::connect(&"/tmp/m.sock".parse()?)?;
    /// use procshare::manager::{Dict, List};
    ///
    /// let jobs = List::<String>::open_or_create(&manager, "jobs")?;
    /// let owners = Dict::<String, u32>::open_or_create(&manager, "owners")?;
    /// manager.transaction(|plan| {
    ///     if let Some(job) = plan.read(jobs.calls().get(0)?)? {
    ///         plan.write(jobs.calls().pop_front()?)?;
    ///         plan.write(owners.calls().set(&job, &std::process::id())?)?;
    ///     }
    ///     Ok(())
    /// })?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn transaction<R>(
        &self,
        mut work: impl FnMut(&mut Transaction<'_>) -> ManagerResult<R>,
    ) -> ManagerResult<R> {
        let mut last = String::new();
        for _ in 0..TRIES {
            let mut plan =
                Transaction { manager: self, versions: BTreeMap::new(), calls: Vec::new(), count: 0 };
            let result = work(&mut plan)?;
            match plan.commit() {
                Ok(()) => return Ok(result),
                Err(ManagerError::Conflict { message }) => last = message,
                Err(error) => return Err(error),
            }
        }
        Err(ManagerError::Conflict { message: last })
    }
}

impl Transaction<'_> {
    /// Does a call now, and makes the transaction depend on its object.
    ///
    /// It sees the object without what the transaction plans. The call must not change anything: plan that with [`write`](Self::write).
    ///
    /// # Errors
    ///
    /// Those of the call, and [`ManagerError::Foreign`].
    pub fn read<R>(&mut self, call: Call<'_, R>) -> ManagerResult<R> {
        self.check(&call)?;
        let mut observed = Vec::new();
        pack::array(&mut observed, 3);
        call.request().write_call(&mut observed);
        let link = self.manager.link();
        let observe = Target::Manager(link).call("observe").raw(&observed).reads(nothing)?;
        let mut received = link.run(&observe.request())?;
        let bad = |_| ManagerError::Decode { what: "observation", reason: "it is malformed".into() };
        let mut reader = Reader::new(&received.bytes);
        reader.array().map_err(bad)?;
        let version = reader.uint().map_err(bad)?;
        received.bytes = reader.rest().into();
        self.versions.entry(call.target.object()).or_insert(version);
        crate::manager::client::call::read(received, call.decode)
    }

    /// Plans a call.
    ///
    /// # Errors
    ///
    /// [`ManagerError::Foreign`] if its object is of another manager.
    pub fn write<R>(&mut self, call: Call<'_, R>) -> ManagerResult<()> {
        self.check(&call)?;
        pack::array(&mut self.calls, 3);
        call.request().write_call(&mut self.calls);
        self.count += 1;
        Ok(())
    }

    /// A number of another server would be somebody else's object here.
    fn check<R>(&self, call: &Call<'_, R>) -> ManagerResult<()> {
        let (here, there) = (self.manager.link(), call.target.link());
        if here.server == there.server {
            return Ok(());
        }
        Err(ManagerError::Foreign { address: there.address.to_string() })
    }

    fn commit(self) -> ManagerResult<()> {
        let mut checks = Vec::new();
        pack::array(&mut checks, self.versions.len());
        for (&object, &version) in &self.versions {
            pack::array(&mut checks, 2);
            pack::uint(&mut checks, object);
            pack::uint(&mut checks, version);
        }
        let mut calls = Vec::new();
        pack::array(&mut calls, self.count as usize);
        calls.extend_from_slice(&self.calls);
        self.manager.call("transaction").raw(&checks).raw(&calls).done()
    }
}
