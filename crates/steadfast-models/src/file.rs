//! The format of `models.toml`.

use serde::Deserialize;
use steadfast_core::InvalidConfig;

use crate::model::{Capability, Model, Offer, Price};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    model: Vec<Row>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    name: String,
    #[serde(default)]
    aliases: Vec<String>,
    family: Option<String>,
    context: Option<u64>,
    output: Option<u64>,
    price: Option<Price>,
    #[serde(default)]
    offer: Vec<Offer>,
    can: Option<Vec<Capability>>,
    #[serde(default)]
    source: String,
    #[serde(default)]
    date: String,
}

/// Reads the models of a file.
pub(crate) fn models(text: &str) -> Result<Vec<Model>, InvalidConfig> {
    let file: File = toml::from_str(text).map_err(|error| {
        let line = error.span().map_or(0, |span| {
            let before = text.as_bytes().get(..span.start).unwrap_or_default();
            before.iter().filter(|&&byte| byte == b'\n').count() + 1
        });
        let found = format!("{} in line {line}", error.message());
        InvalidConfig::new("models", found, "must be a list of `[[model]]` tables")
    })?;
    let rows = file.model.into_iter().enumerate();
    rows.map(|(n, row)| {
        row.model()
            .map_err(|error| error.within(&format!("model[{n}]")))
    })
    .collect()
}

impl Row {
    fn model(self) -> Result<Model, InvalidConfig> {
        for name in self.aliases.iter().chain([&self.name]) {
            if name.trim().is_empty() {
                return Err(InvalidConfig::new("name", name, "must not be empty"));
            }
        }
        for (field, limit) in [("context", self.context), ("output", self.output)] {
            if limit == Some(0) {
                return Err(InvalidConfig::new(field, 0, "must be at least 1"));
            }
        }
        let own = self
            .price
            .map(|price| [Some(price.input), price.cached, Some(price.output)]);
        let offers = self
            .offer
            .iter()
            .flat_map(|offer| [Some(offer.price), offer.reference]);
        for price in own.into_iter().flatten().chain(offers).flatten() {
            if !(price.is_finite() && price >= 0.0) {
                return Err(InvalidConfig::new(
                    "price",
                    price,
                    "must be zero or positive",
                ));
            }
        }
        Ok(Model {
            name: self.name,
            aliases: self.aliases,
            family: self.family,
            context: self.context,
            output: self.output,
            price: self.price,
            offers: self.offer,
            can: self.can,
            source: self.source,
            date: self.date,
        })
    }
}
