//! A client of a live stream, as a careful one would be written.

use std::collections::BTreeMap;
use std::time::Duration;

use reqwest::{RequestBuilder, Response, StatusCode};
use serde_json::Value;
use tokio::time::timeout;

/// How long anything here may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// A stream of server-sent events that is being read.
pub struct Live {
    response: Response,
    unread: String,
}

/// What stands between two empty lines: the fields, and the comments under the empty name.
pub type Block = BTreeMap<String, Vec<String>>;

/// An event, as `EventSource` hands it on.
#[derive(Debug, Clone, PartialEq)]
pub struct Received {
    pub id: i64,
    pub event: String,
    pub data: Value,
}

impl Live {
    pub async fn open(request: RequestBuilder) -> Self {
        let response = request.header("accept", "text/event-stream").send().await.unwrap();
        let status = response.status();
        assert_eq!(status, StatusCode::OK, "{}", response.text().await.unwrap());
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { response, unread: String::new() }
    }

    /// The next block; none at an orderly end.
    pub async fn block(&mut self) -> Option<Block> {
        loop {
            if let Some((block, rest)) = self.unread.split_once("\n\n") {
                let block = fields(block);
                let rest = rest.to_owned();
                self.unread = rest;
                return Some(block);
            }
            let more = timeout(PATIENCE, self.response.chunk()).await.expect("a live stream is silent");
            let Some(more) = more.expect("a live stream broke off") else {
                assert_eq!(self.unread, "", "half a block at the end");
                return None;
            };
            self.unread.push_str(str::from_utf8(&more).expect("events are cut between letters"));
        }
    }

    /// The next event; none at an orderly end.
    pub async fn next(&mut self) -> Option<Received> {
        while let Some(block) = self.block().await {
            if block.contains_key("data") {
                let only = |name: &str| -> &str {
                    assert_eq!(block[name].len(), 1, "{block:?}");
                    &block[name][0]
                };
                let data: Value = serde_json::from_str(only("data")).unwrap();
                return Some(Received {
                    id: only("id").parse().unwrap(),
                    event: only("event").to_owned(),
                    data,
                });
            }
        }
        None
    }

    /// The events up to the one of this place.
    pub async fn up_to(&mut self, place: i64) -> Vec<Received> {
        let mut all = Vec::new();
        while all.last().is_none_or(|last: &Received| last.id < place) {
            all.push(self.next().await.expect("the stream ended"));
        }
        all
    }

    /// What comments it ends with; no event may come.
    pub async fn ends(mut self) -> Vec<String> {
        let mut comments = Vec::new();
        while let Some(mut block) = self.block().await {
            assert!(!block.contains_key("data"), "an event came: {block:?}");
            comments.extend(block.remove("").unwrap_or_default());
        }
        comments
    }
}

fn fields(block: &str) -> Block {
    let mut fields = Block::new();
    for line in block.lines() {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        fields.entry(name.to_owned()).or_default().push(value.to_owned());
    }
    fields
}
