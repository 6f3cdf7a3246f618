use serde_json::{Value, json};

/// One message of a chat.
#[derive(Clone, Debug, PartialEq)]
pub struct Message(Value);

/// The messages of a chat: a text of the user, several [`Message`]s, or JSON.
#[derive(Clone, Debug, PartialEq)]
pub struct Messages(Value);

impl Message {
    /// Creates a message with a role. The content is a text, or a list of parts as JSON.
    #[must_use]
    pub fn new(role: &str, content: impl Into<Value>) -> Self {
        Self(json!({ "role": role, "content": content.into() }))
    }

    /// Creates a message of the user.
    #[must_use]
    pub fn user(content: impl Into<Value>) -> Self {
        Self::new("user", content)
    }

    /// Creates a message with instructions.
    #[must_use]
    pub fn system(content: impl Into<Value>) -> Self {
        Self::new("system", content)
    }

    /// Creates an earlier answer.
    #[must_use]
    pub fn assistant(content: impl Into<Value>) -> Self {
        Self::new("assistant", content)
    }

    /// Creates the result of a tool for the call with this id.
    #[must_use]
    pub fn tool(call_id: &str, content: impl Into<Value>) -> Self {
        let content = content.into();
        Self(json!({ "role": "tool", "tool_call_id": call_id, "content": content }))
    }
}

impl Messages {
    pub(crate) fn into_value(self) -> Value {
        self.0
    }
}

/// A message as JSON, such as the one of an answer with calls of tools.
impl From<Value> for Message {
    fn from(message: Value) -> Self {
        Self(message)
    }
}

/// An array of messages as JSON.
impl From<Value> for Messages {
    fn from(messages: Value) -> Self {
        Self(messages)
    }
}

/// One message of the user.
impl From<&str> for Messages {
    fn from(text: &str) -> Self {
        [Message::user(text)].into()
    }
}

/// One message of the user.
impl From<String> for Messages {
    fn from(text: String) -> Self {
        [Message::user(text)].into()
    }
}

impl<const N: usize> From<[Message; N]> for Messages {
    fn from(messages: [Message; N]) -> Self {
        Vec::from(messages).into()
    }
}

impl From<Vec<Message>> for Messages {
    fn from(messages: Vec<Message>) -> Self {
        Self(messages.into_iter().map(|message| message.0).collect())
    }
}

impl From<&[Message]> for Messages {
    fn from(messages: &[Message]) -> Self {
        messages.to_vec().into()
    }
}
