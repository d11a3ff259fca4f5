//! What the clients asked and heard, in the order in which it happened.

use bytes::Bytes;
use viewstamped_protocol::{ClientId, OpNumber};

use crate::checkers::{Checked, hold};

/// One request of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invocation {
    /// Who asked.
    pub client: ClientId,
    /// What.
    pub payload: Bytes,
    /// When, on a clock that ticks once for each invocation and each answer.
    pub invoked: u64,
    /// What came of it; `None` when the client does not know.
    pub outcome: Option<Outcome>,
    /// The place in the order of all operations, when it was executed, whether its client knows or not.
    pub op: Option<OpNumber>,
    /// The largest op-number that any client had been told when this was asked.
    told: OpNumber,
}

/// The answer to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// When it came, on the same clock.
    pub returned: u64,
    /// What it was.
    pub result: Bytes,
}

/// All requests of all clients of a run.
#[derive(Clone, Debug, Default)]
pub struct History {
    invocations: Vec<Invocation>,
    clock: u64,
    told: OpNumber,
}

impl History {
    /// All requests, in the order in which they were asked.
    #[must_use]
    pub fn invocations(&self) -> &[Invocation] {
        &self.invocations
    }

    /// Notes a request; returns the number by which it is completed.
    pub(crate) fn invoke(&mut self, client: ClientId, payload: Bytes) -> usize {
        self.clock += 1;
        let invocation = Invocation { client, payload, invoked: self.clock, outcome: None, op: None, told: self.told };
        self.invocations.push(invocation);
        self.invocations.len() - 1
    }

    /// Notes an answer.
    ///
    /// I-LIN while it happens: what is asked after an answer was heard comes later in the order of operations.
    pub(crate) fn complete(&mut self, number: usize, op: OpNumber, result: Bytes) -> Checked {
        self.clock += 1;
        self.told = self.told.max(op);
        let invocation = &mut self.invocations[number];
        invocation.outcome = Some(Outcome { returned: self.clock, result });
        invocation.op = Some(op);
        let told = invocation.told;
        hold!("I-LIN", op > told, "a request asked after {told} had been answered was ordered before it, at {op}");
        Ok(())
    }

    /// Notes where a request without an answer was executed.
    pub(crate) fn locate(&mut self, number: usize, op: OpNumber) {
        self.invocations[number].op.get_or_insert(op);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operation_ordered_before_an_earlier_answer_is_noticed() {
        let mut history = History::default();
        let first = history.invoke(ClientId(1), Bytes::new());
        let concurrent = history.invoke(ClientId(2), Bytes::new());
        assert_eq!(history.complete(first, OpNumber(5), Bytes::new()), Ok(()));
        let later = history.invoke(ClientId(2), Bytes::new());
        assert_eq!(history.complete(concurrent, OpNumber(4), Bytes::new()), Ok(()));
        assert!(history.complete(later, OpNumber(3), Bytes::new()).is_err());
    }
}
