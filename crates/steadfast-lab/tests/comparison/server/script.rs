use bytes::Bytes;

/// More attempts than this get an answer that ends any loop.
const MAX_ATTEMPTS: usize = 2000;

/// What to do with the attempts, in their order.
#[derive(Clone, Debug)]
pub(crate) struct Script {
    steps: Vec<Step>,
    then: Step,
    pub(crate) for_each: bool,
}

/// What to do with one attempt.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Answer(Reply),
    /// Answers after this number of bytes of the body, and ignores the rest.
    AnswerAfter(usize, Reply),
    /// Reads the request and leaves.
    Close,
    /// Closes the connection after this number of bytes of the body.
    CloseAfter(usize),
    /// Leaves in the middle of the answer's body.
    Break(Reply),
    /// Stays, and sends nothing more, in the middle of the answer's body.
    Stall(Reply),
}

/// An answer.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Bytes,
}

// ===== impl Script =====

impl Script {
    /// Does `steps`, and answers well from then on.
    pub(crate) fn new(steps: impl IntoIterator<Item = Step>) -> Self {
        Self {
            steps: steps.into_iter().collect(),
            then: Step::Answer(Reply::ok()),
            for_each: false,
        }
    }

    /// Does `step` with every attempt.
    pub(crate) fn always(step: impl Into<Step>) -> Self {
        Self {
            then: step.into(),
            ..Self::new([])
        }
    }

    /// Answers one attempt with `reply` and then well.
    pub(crate) fn once(reply: impl Into<Step>) -> Self {
        Self::new([reply.into()])
    }

    /// Does the steps for each request anew.
    pub(crate) fn for_each_request(mut self) -> Self {
        self.for_each = true;
        self
    }

    /// Does something else with all attempts after the steps.
    pub(crate) fn then(mut self, step: impl Into<Step>) -> Self {
        self.then = step.into();
        self
    }

    pub(crate) fn step(&self, turn: usize) -> Step {
        if turn > MAX_ATTEMPTS {
            return Step::Answer(Reply::ok());
        }
        self.steps.get(turn).unwrap_or(&self.then).clone()
    }
}

impl From<Reply> for Step {
    fn from(reply: Reply) -> Self {
        Self::Answer(reply)
    }
}

// ===== impl Reply =====

impl Reply {
    pub(crate) fn ok() -> Self {
        // With the field that each chat completion has: `AiStack` checks its answers.
        Self::new(200, r#"{"id":"1","object":"done","choices":[]}"#)
    }

    /// Creates an error as OpenAI's API writes them.
    pub(crate) fn error(status: u16) -> Self {
        let body = r#"{"error":{"message":"Not now.","type":"error","param":null,"code":null}}"#;
        Self::new(status, body)
    }

    pub(crate) fn new(status: u16, body: impl Into<Bytes>) -> Self {
        Self {
            status,
            headers: vec![("content-type", "application/json".to_owned())],
            body: body.into(),
        }
    }

    pub(crate) fn html(status: u16) -> Self {
        let body = "<html><body><h1>Too many requests</h1></body></html>";
        Self {
            headers: vec![("content-type", "text/html".to_owned())],
            ..Self::new(status, body)
        }
    }

    pub(crate) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}
