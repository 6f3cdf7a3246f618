use std::time::Duration;

use recloser::{AsyncRecloser, Error, RecloserBuilder};

use super::{
    Ask, Backend, Calling, Circuit, Contestant, Fault, NO_METRICS, NO_SERVICE, NO_TIMEOUT,
    NotAsked, Outcome, Reaction, Setting, Shape, exchange, try_it,
};

/// Fewer than the default, so that a circuit which probes is not taken for a closed one.
const PROBES: usize = 3;

pub(super) struct Recloser;

impl Contestant for Recloser {
    fn package(&self) -> &'static str {
        "recloser"
    }

    fn configured(&self) -> &'static str {
        "`AsyncRecloser` of half of the last ten calls, `closed_len(10)`, and of three probes, `half_open_len(3)`. Its \
         defaults are 100 and 10. A predicate for which a `429` is no error. Where a row is about it: `closed_len(64)`, \
         and an `open_wait_strategy` that doubles, or that draws."
    }

    fn probes(&self) -> usize {
        PROBES
    }

    fn circuit(&self, setting: &Setting, backend: &Backend) -> Result<Box<dyn Circuit>, NotAsked> {
        Ok(Box::new(RecloserCircuit {
            recloser: builder(setting)?.build().into(),
            backend: backend.clone(),
        }))
    }

    fn nonsense(&self) -> Vec<Reaction> {
        let builder = recloser::Recloser::custom;
        let build = |builder: RecloserBuilder| {
            try_it(|| {
                let recloser = builder.build();
                let _ = recloser.call(|| Ok::<_, ()>(()));
                Ok::<_, ()>(recloser)
            })
        };
        vec![
            build(builder().closed_len(0)),
            build(builder().half_open_len(0)),
            build(builder().error_rate(1.1)),
            build(builder().error_rate(f32::NAN)),
        ]
    }
}

struct RecloserCircuit {
    recloser: AsyncRecloser,
    backend: Backend,
}

impl Circuit for RecloserCircuit {
    fn call(&self, ask: Ask) -> Calling {
        let call = exchange(self.backend.clone(), ask);
        let call = self.recloser.call_with(Fault::counts, call);
        Box::pin(async move {
            match call.await {
                Ok(()) => Outcome::Answered,
                Err(Error::Inner(fault)) => fault.outcome(),
                Err(Error::Rejected) => Outcome::REJECTED,
            }
        })
    }
}

fn builder(setting: &Setting) -> Result<RecloserBuilder, NotAsked> {
    let builder = recloser::Recloser::custom()
        .error_rate(0.5)
        .closed_len(10)
        .half_open_len(PROBES)
        .open_wait(setting.open);
    let max = 4 * setting.open;
    Ok(match setting.shape {
        Shape::Layer => return Err(NO_SERVICE),
        Shape::TimeoutOutside => return Err(NO_TIMEOUT),
        Shape::Metrics => return Err(NO_METRICS),
        Shape::Observed => {
            return Err("it reports them only through its feature `tracing`, which is off");
        }
        Shape::Window => builder.closed_len(64),
        Shape::Growing => builder.open_wait_strategy(move |failed: u32, open: Duration| {
            open.saturating_mul(1 << failed.min(16)).min(max)
        }),
        Shape::Jittered => {
            builder.open_wait_strategy(|_: u32, open: Duration| open.mul_f64(1.0 - fastrand::f64()))
        }
        _ => builder,
    })
}
