//! Sessions: signing in, switching workspaces, signing out (S2.14-20, S3.9-11), and what must not pass for one.

mod credentials;
mod support;
mod switching;
mod tokens;
