//! Sessions: signing in, switching workspaces, signing out (S2.14-20, S3.9-11), and what must not pass for one.

mod credentials;
pub(crate) mod support;
mod switching;
mod tokens;
