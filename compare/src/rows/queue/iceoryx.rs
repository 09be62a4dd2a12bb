//! iceoryx2: one publisher, one subscriber that is never outrun, looked at in turn.

use std::any::Any;
use std::cell::RefCell;
use std::fmt::Debug;

use crossbeam_utils::Backoff;
use iceoryx2::config::Config;
use iceoryx2::port::publisher::Publisher;
use iceoryx2::port::subscriber::Subscriber;
use iceoryx2::prelude::{
    FileName, LogLevel, Node, NodeBuilder, Path, PortFactory, SemanticString, SignalHandlingMode,
    UnableToDeliverStrategy, ipc, set_log_level,
};
use iceoryx2::service::port_factory::publish_subscribe;

use super::rivals::{each_large, refused};
use super::{Belt, Item, slots};
use crate::failure::Failure;
use crate::leftovers::{own_name, sweep_own};

/// iceoryx2's queue; copied in and out, or written and read in place. Each side joins when it begins.
pub(super) struct Iceoryx<const N: usize, const COPY: bool> {
    name: String,
}

impl<const N: usize, const COPY: bool> Drop for Iceoryx<N, COPY> {
    fn drop(&mut self) {
        // Workers end without running destructors, so their files are still there.
        sweep_own();
    }
}

impl<const N: usize, const COPY: bool> Belt<N> for Iceoryx<N, COPY> {
    fn new() -> Result<Self, Failure> {
        Ok(Self { name: own_name() })
    }

    fn send(&self, numbers: impl Iterator<Item = u64>) -> Result<(), Failure> {
        with_port(
            || Outlet::<N>::open(&self.name),
            |outlet| {
                if COPY {
                    return each_large(numbers, |item| outlet.copy(item));
                }
                for number in numbers {
                    outlet.send(|place| (place[0], place[N - 1]) = (number, number))?;
                }
                Ok(())
            },
        )
    }

    fn receive(
        &self,
        count: u64,
        mut sink: impl FnMut(&Item<N>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut copy = if COPY { vec![[0; N]] } else { Vec::new() };
        with_port(
            || Inlet::<N>::open(&self.name, slots::<N>()),
            |inlet| {
                for _ in 0..count {
                    let backoff = Backoff::new();
                    let sample = loop {
                        match inlet.subscriber.receive().map_err(refused)? {
                            Some(sample) => break sample,
                            None => backoff.snooze(),
                        }
                    };
                    match copy.first_mut() {
                        Some(copy) => {
                            copy.copy_from_slice(&sample.payload()[..]);
                            sink(copy)?;
                        }
                        None => sink(sample.payload())?,
                    }
                }
                Ok(())
            },
        )
    }
}

/// Bytes that a queue of `slots` items of `N` words takes: all that both ends make in shared memory.
pub(in super::super) fn bytes<const N: usize>(slots: usize) -> Result<u64, Failure> {
    let name = own_name();
    let inlet = Inlet::<N>::open(&name, slots)?;
    let outlet = Outlet::<N>::open_with(&name, slots)?;
    outlet.send(|place| place[0] = 1)?;
    let arrived = inlet.subscriber.receive().map_err(refused)?.map_or(0, |sample| sample.payload()[0]);
    crate::failure::same("what arrived", 1, arrived)?;
    let bytes = crate::leftovers::own_bytes()?;
    drop((inlet, outlet));
    sweep_own();
    Ok(bytes)
}

type Service<const N: usize> = publish_subscribe::PortFactory<ipc::Service, Item<N>, ()>;

/// The publisher's end; its files are gone when the batch is over.
struct Outlet<const N: usize> {
    publisher: Publisher<ipc::Service, Item<N>, ()>,
    _service: Service<N>,
    _node: Node<ipc::Service>,
}

impl<const N: usize> Outlet<N> {
    fn open(name: &str) -> Result<Self, Failure> {
        Self::open_with(name, slots::<N>())
    }

    /// Joins, and waits for the subscriber: what is sent before is lost.
    fn open_with(name: &str, slots: usize) -> Result<Self, Failure> {
        let (node, service) = join(name, slots)?;
        let publisher = service
            .publisher_builder()
            .max_loaned_samples(1)
            .unable_to_deliver_strategy(UnableToDeliverStrategy::Block)
            .create()
            .map_err(refused)?;
        while service.dynamic_config().number_of_subscribers() == 0 {
            std::thread::yield_now();
        }
        Ok(Self { publisher, _service: service, _node: node })
    }

    /// Sends an item that `write` wrote in place.
    fn send(&self, write: impl FnOnce(&mut Item<N>)) -> Result<(), Failure> {
        let mut sample = self.publisher.loan_uninit().map_err(refused)?;
        // SAFETY: the sample lies in a shared mapping, whose bytes are initialised, and any bytes are words.
        write(unsafe { sample.payload_mut().assume_init_mut() });
        // SAFETY: as above.
        unsafe { sample.assume_init() }.send().map(drop).map_err(refused)
    }

    /// Sends a copy; a large one need not pass over the stack.
    fn copy(&self, item: &Item<N>) -> Result<(), Failure> {
        self.send(|place| place.copy_from_slice(item))
    }
}

/// The subscriber's end.
struct Inlet<const N: usize> {
    subscriber: Subscriber<ipc::Service, Item<N>, ()>,
    _service: Service<N>,
    _node: Node<ipc::Service>,
}

impl<const N: usize> Inlet<N> {
    fn open(name: &str, slots: usize) -> Result<Self, Failure> {
        let (node, service) = join(name, slots)?;
        let subscriber = service.subscriber_builder().create().map_err(refused)?;
        Ok(Self { subscriber, _service: service, _node: node })
    }
}

/// A node of this process in a world of the batch's own, and the service in it.
fn join<const N: usize>(name: &str, slots: usize) -> Result<(Node<ipc::Service>, Service<N>), Failure> {
    set_log_level(LogLevel::Fatal);
    let mut config = Config::default();
    let root = std::env::temp_dir().join(name);
    let root = Path::new(root.to_string_lossy().as_bytes()).map_err(debug)?;
    config.global.set_root_path(&root);
    config.global.prefix = FileName::new(format!("{name}_").as_bytes()).map_err(debug)?;
    let builder = NodeBuilder::new().config(&config).signal_handling_mode(SignalHandlingMode::Disabled);
    let node = builder.create::<ipc::Service>().map_err(refused)?;
    let service = node
        .service_builder(&name.try_into().map_err(debug)?)
        .publish_subscribe::<Item<N>>()
        .max_publishers(1)
        .max_subscribers(1)
        .max_nodes(2)
        .history_size(0)
        .enable_safe_overflow(false)
        .subscriber_max_borrowed_samples(1)
        .subscriber_max_buffer_size(slots)
        .open_or_create()
        .map_err(refused)?;
    Ok((node, service))
}

fn debug(error: impl Debug) -> Failure {
    Failure::contender("iceoryx2", format_args!("{error:?}"))
}

thread_local! {
    /// The end that this worker has: it keeps it from the warm-up on.
    static PORT: RefCell<Option<Box<dyn Any>>> = const { RefCell::new(None) };
}

fn with_port<P: 'static>(
    open: impl FnOnce() -> Result<P, Failure>,
    work: impl FnOnce(&P) -> Result<(), Failure>,
) -> Result<(), Failure> {
    PORT.with_borrow_mut(|held| {
        let held = match held {
            Some(held) => held,
            none => none.insert(Box::new(open()?)),
        };
        held.downcast_ref().map_or(Err(Failure::contender("iceoryx2", "a worker has one end")), work)
    })
}
