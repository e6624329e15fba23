//! Configurations made of all that a type can be made of. Only serde reads them.
#![allow(dead_code)]

use std::collections::HashMap;

use serde::Deserialize;

#[derive(Deserialize)]
pub struct Max {
    pub max: u8,
}

#[derive(Deserialize)]
pub struct Deep {
    #[serde(default)]
    pub limits: Option<Max>,
    #[serde(default)]
    pub servers: Vec<Max>,
    #[serde(default)]
    pub named: HashMap<String, Max>,
    #[serde(default)]
    pub level: Option<Level>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    Tab { max: u8 },
    Wrap(Max),
}

#[derive(Deserialize)]
pub struct Whole(pub Max);

#[derive(Deserialize)]
pub struct Flat {
    #[serde(flatten)]
    pub inner: Max,
}
