//! A request as it goes over the wire, made before the measuring begins.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Stands for sixteen digits that are others each time the request is sent.
pub const MARK: &str = "################";

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Request {
    text: String,
    /// What its answer must end with.
    pub answer: String,
}

impl Request {
    /// To a server on loopback, whatever its port.
    pub fn new(method: &str, path: &str, headers: &[(&str, &str)], body: &Value) -> Self {
        let body = body.to_string();
        let mut text = format!("{method} {path} HTTP/1.1\r\nhost: 127.0.0.1\r\n");
        for (name, value) in headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str("content-type: application/json\r\n");
        text.push_str(&format!("content-length: {}\r\n\r\n{body}", body.len()));
        Self { text, answer: String::new() }
    }

    #[must_use]
    pub fn answered(mut self, end: &str) -> Self {
        end.clone_into(&mut self.answer);
        self
    }

    /// Its bytes, and where marks begin in them.
    pub fn into_bytes(self) -> (Vec<u8>, Vec<usize>) {
        let marks = self.text.match_indices(MARK).map(|(at, _)| at).collect();
        (self.text.into_bytes(), marks)
    }
}
