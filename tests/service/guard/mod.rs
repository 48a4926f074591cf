//! A product behind the guard: what its own code forgets, session and database still know (S0.7–12, S3.25–29).

mod beside_tenure;
mod fences;
mod moving;
mod requests;

use serde_json::json;
use tenure::ids;

use crate::support::product::{Product, SessionIssuer, Tenant};

/// The product, and a stand-in for Tenure.
struct Stage {
    tenure: SessionIssuer,
    product: Product,
}

impl Stage {
    async fn with_connections(connections: u32) -> Self {
        let tenure = SessionIssuer::start().await;
        let product = Product::start(tenure.url(), connections).await;
        Self { tenure, product }
    }

    /// A user in a workspace of their own.
    fn tenant(&self, user: &str) -> Tenant<'_> {
        let workspace = ids::new_v7();
        self.product.tenant(workspace, self.tenure.token(user, workspace, &json!({})))
    }
}
