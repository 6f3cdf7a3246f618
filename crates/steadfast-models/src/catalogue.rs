use std::collections::HashMap;
use std::sync::LazyLock;

use steadfast_core::InvalidConfig;

use crate::file;
use crate::lookup::{first_form, nearest};
use crate::model::Model;
use crate::rejected::{ModelRejected, RejectReason};
use crate::request_size::RequestSize;
use crate::tokens::Tokens;

/// Models by name.
///
/// See the [crate docs](crate) for an example and for the names that are found.
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    models: Vec<Model>,
    /// The index of each name.
    names: HashMap<String, usize>,
    /// The index of each alias. Names take precedence.
    aliases: HashMap<String, usize>,
    /// The way to estimate tokens.
    tokens: Tokens,
}

static SHIPPED: LazyLock<Catalogue> = LazyLock::new(|| {
    let catalogue = Catalogue::new().extend_toml(include_str!("../models.toml"));
    catalogue.expect("a test reads the file")
});

impl Catalogue {
    /// Creates a catalogue without models.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns the catalogue of this crate, the file `models.toml`.
    #[must_use]
    pub fn shipped() -> Self {
        SHIPPED.clone()
    }

    /// Sets the way to estimate the tokens of a request. Defaults to [`Tokens::Bytes`].
    #[must_use]
    pub fn with_tokens(mut self, tokens: Tokens) -> Self {
        self.tokens = tokens;
        self
    }

    /// Returns the way to estimate the tokens of a request.
    #[must_use]
    pub fn tokens(&self) -> Tokens {
        self.tokens
    }

    /// Adds the models of a file in the format of `models.toml`. A model replaces an earlier one of
    /// the same name.
    ///
    /// # Errors
    ///
    /// Returns an error that names the model and the field if a value is invalid.
    pub fn extend_toml(self, text: &str) -> Result<Self, InvalidConfig> {
        Ok(file::models(text)?.into_iter().fold(self, Self::with))
    }

    /// Adds a model. It replaces an earlier one of the same name.
    #[must_use]
    pub fn with(mut self, model: Model) -> Self {
        let at = *self.names.get(&model.name).unwrap_or(&self.models.len());
        self.aliases.retain(|_, index| *index != at);
        self.names.insert(model.name.clone(), at);
        let aliases = model.aliases.iter().map(|alias| (alias.clone(), at));
        self.aliases.extend(aliases);
        if at == self.models.len() {
            self.models.push(model);
        } else {
            self.models[at] = model;
        }
        self
    }

    /// Returns all models, in the order in which they were added.
    pub fn models(&self) -> impl Iterator<Item = &Model> {
        self.models.iter()
    }

    /// Returns the model with this name. The [crate docs](crate) list the forms of names.
    ///
    /// # Errors
    ///
    /// Returns an error with the nearest names if no model has this name.
    pub fn find(&self, name: &str) -> Result<&Model, ModelRejected> {
        let found = first_form(name, |form| {
            let index = self.names.get(form).or_else(|| self.aliases.get(form))?;
            self.models.get(*index)
        });
        found.ok_or_else(|| {
            let names = self.names.keys().chain(self.aliases.keys());
            let nearest = nearest(name, names.map(String::as_str));
            ModelRejected::new(name, RejectReason::Unknown { nearest })
        })
    }

    /// Checks the model of a request and its limits.
    ///
    /// # Errors
    ///
    /// Returns an error if the model is unknown, or if the request does not [fit](Model::fits) it.
    pub fn check(&self, name: &str, size: &RequestSize) -> Result<&Model, ModelRejected> {
        let model = self.find(name)?;
        model.fits(size)?;
        Ok(model)
    }
}
