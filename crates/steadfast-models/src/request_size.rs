use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::tokens::{Counter, Tokens};

/// The size of a request: the estimated tokens of its prompt, and the output that it asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestSize {
    prompt: u64,
    max_tokens: Option<(u64, &'static str)>,
    tokens: Tokens,
}

impl RequestSize {
    /// Reads a JSON body in the format of OpenAI, Anthropic or Gemini.
    ///
    /// Texts of messages, instructions and tools count. Images, files and other data do not. Of a
    /// list of inputs for embeddings, only the longest counts, because each input has the whole
    /// context. The size of another body is zero. No part of the body becomes a tree.
    #[must_use]
    pub fn of(body: &[u8], tokens: Tokens) -> Self {
        let mut reading = Reading::new(tokens);
        let mut deserializer = serde_json::Deserializer::from_slice(body);
        let top = Value(&mut reading, Part::Top);
        // Half of an unreadable body is no evidence.
        match top
            .deserialize(&mut deserializer)
            .and_then(|()| deserializer.end())
        {
            Ok(()) => Self {
                prompt: reading.counter.total().saturating_add(reading.longest),
                max_tokens: reading.max_tokens,
                tokens,
            },
            Err(_) => Self::default(),
        }
    }

    /// Returns the estimated tokens of the prompt.
    #[must_use]
    pub fn prompt_tokens(&self) -> u64 {
        self.prompt
    }

    /// Returns the tokens of output that the request asks for, if it has the field.
    #[must_use]
    pub fn max_tokens(&self) -> Option<u64> {
        self.max_tokens.map(|(tokens, _)| tokens)
    }

    /// Returns the field of [`max_tokens`](Self::max_tokens), such as `max_completion_tokens`.
    pub(crate) fn max_tokens_field(&self) -> &'static str {
        self.max_tokens.map_or("max_tokens", |(_, field)| field)
    }

    /// Returns the way in which the tokens were estimated.
    #[must_use]
    pub fn tokens(&self) -> Tokens {
        self.tokens
    }

    /// Returns the estimated tokens of prompt and answer together, for the limits of an endpoint.
    #[must_use]
    pub fn total_tokens(&self) -> u64 {
        self.prompt.saturating_add(self.max_tokens().unwrap_or(0))
    }
}

/// The state of one reading.
struct Reading {
    counter: Counter,
    /// The tokens of the longest item of a list of inputs.
    longest: u64,
    max_tokens: Option<(u64, &'static str)>,
}

/// A part of a body.
#[derive(Clone, Copy)]
enum Part {
    /// The whole body.
    Top,
    /// A value with texts of the prompt.
    Texts,
    /// The value of `input` or `prompt`: a text, a list of texts, or messages.
    Inputs,
    /// An item of a list of inputs: a text of its own, or a part of a conversation.
    Item,
    /// The settings of Gemini, with the largest output.
    Settings,
    /// The largest output.
    Limit(&'static str),
    /// Any other value.
    Other,
}

/// The fields with the largest output.
const OUTPUT: [&str; 4] = [
    "max_tokens",
    "max_completion_tokens",
    "max_output_tokens",
    "maxOutputTokens",
];

impl Reading {
    fn new(tokens: Tokens) -> Self {
        Self {
            counter: Counter::new(tokens),
            longest: 0,
            max_tokens: None,
        }
    }

    fn add(&mut self, part: Part, text: &str) {
        match part {
            // An image may be a text with a scheme.
            _ if text.starts_with("data:") => {}
            Part::Texts | Part::Inputs => self.counter.add(text),
            Part::Item => self.longest = self.longest.max(self.counter.alone(text)),
            _ => {}
        }
    }

    fn limit(&mut self, tokens: u64, field: &'static str) {
        // A server applies one of two fields. Only a limit that both exceed is certain.
        if self.max_tokens.is_none_or(|(other, _)| tokens < other) {
            self.max_tokens = Some((tokens, field));
        }
    }
}

impl Part {
    /// Returns the part in a field of an object.
    fn field(self, name: &str) -> Self {
        let limit = || OUTPUT.into_iter().find(|field| *field == name);
        match (self, name) {
            (Self::Top, "input" | "prompt") => Self::Inputs,
            (Self::Top, "generationConfig" | "generation_config") => Self::Settings,
            (Self::Top, "messages" | "system" | "instructions" | "contents" | "tools") => {
                Self::Texts
            }
            (Self::Top, "systemInstruction" | "system_instruction") => Self::Texts,
            (Self::Top | Self::Settings, _) => limit().map_or(Self::Other, Self::Limit),
            (Self::Texts | Self::Inputs | Self::Item, _) if is_data(name) => Self::Other,
            (Self::Texts | Self::Inputs | Self::Item, _) => Self::Texts,
            _ => Self::Other,
        }
    }

    /// Returns the part of an item of an array.
    fn item(self) -> Self {
        match self {
            Self::Texts => Self::Texts,
            Self::Inputs => Self::Item,
            _ => Self::Other,
        }
    }
}

/// Returns whether a field of a message holds data or identifies it.
fn is_data(name: &str) -> bool {
    matches!(
        name,
        "url" | "image_url" | "data" | "bytes" | "file_data" | "fileData" | "b64_json"
    ) || matches!(
        name,
        "encrypted_content" | "signature" | "thoughtSignature" | "id" | "type" | "role"
    )
}

/// The value of a part.
struct Value<'a>(&'a mut Reading, Part);

/// The name of a field. Its value is the part of the field.
struct Name(Part);

impl<'de> DeserializeSeed<'de> for Value<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        match self.1 {
            Part::Other => deserializer.deserialize_ignored_any(IgnoredAny).map(drop),
            Part::Top => deserializer.deserialize_map(self),
            _ => deserializer.deserialize_any(self),
        }
    }
}

impl<'de> Visitor<'de> for Value<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, number: u64) -> Result<(), E> {
        if let Part::Limit(field) = self.1 {
            self.0.limit(number, field);
        }
        Ok(())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        self.0.add(self.1, text);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let part = self.1.item();
        while items.next_element_seed(Value(self.0, part))?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        while let Some(part) = fields.next_key_seed(Name(self.1))? {
            fields.next_value_seed(Value(self.0, part))?;
        }
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Part;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Part, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Name {
    type Value = Part;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a field")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Part, E> {
        Ok(self.0.field(name))
    }
}

#[cfg(test)]
mod tests;
