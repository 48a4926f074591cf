//! Over https the client speaks only to the host it means, whatever address that has.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures::future::BoxFuture;
use hyper::HeaderMap;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use url::Url;

use super::{Client, Networks, Resolve, Unanswered};

/// Of `hook.test` and 127.0.0.1. Made for these tests with `openssl req -x509`; it guards nothing.
const CERTIFICATE: &str = "\
    MIIBmDCCAT6gAwIBAgIULR22kgpCZS5ACyEdUGZXZjOp1z8wCgYIKoZIzj0EAwIwFDESMBAGA1UEAwwJaG9vay50ZXN0MCAXDTI2\
    MTEyNDEzMTEzOVoYDzIxMjYxMDMxMTMxMTM5WjAUMRIwEAYDVQQDDAlob29rLnRlc3QwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNC\
    AARbd0tjGNX15hrIrdpqbdhfXRJKMCfau+XK8HibGZF6sPZIdqjFte94rFxiKRQd/DfA4rEupF8Te33KbWJTMnGRo2wwajAdBgNV\
    HQ4EFgQU58DLixNP1NwN/FHVG6AxVcuG5dUwHwYDVR0jBBgwFoAU58DLixNP1NwN/FHVG6AxVcuG5dUwGgYDVR0RBBMwEYIJaG9v\
    ay50ZXN0hwR/AAABMAwGA1UdEwEB/wQCMAAwCgYIKoZIzj0EAwIDSAAwRQIhALa3g4BDoHa72uu4p95qRDTYV/SO7TBr6+XfO/nY\
    c79wAiBR1CjMpPFwcZpyB/Yjkyo9GIgXcwZW4dBrU8fqMAqZzA==";
const KEY: &str = "\
    MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgd3Npa2uA5dY4zY069ZncZgE6Ep6gCTuRT9i9i7VMpEahRANCAARb\
    d0tjGNX15hrIrdpqbdhfXRJKMCfau+XK8HibGZF6sPZIdqjFte94rFxiKRQd/DfA4rEupF8Te33KbWJTMnGR";

/// Every name leads to this machine.
#[derive(Debug)]
struct Home;

impl Resolve for Home {
    fn resolve<'a>(&'a self, _: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        Box::pin(async { Ok(vec![IpAddr::from([127, 0, 0, 1])]) })
    }
}

fn bytes(text: &str) -> Vec<u8> {
    STANDARD.decode(text.replace(' ', "")).unwrap()
}

fn certificate() -> CertificateDer<'static> {
    bytes(CERTIFICATE).into()
}

/// A receiver over TLS that takes everything; the names it was called by are noted.
async fn receiver() -> (SocketAddr, Arc<Mutex<Vec<Option<String>>>>) {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(bytes(KEY)));
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_no_client_auth().with_single_cert(vec![certificate()], key).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, names) = (listener.local_addr().unwrap(), Arc::new(Mutex::new(vec![])));
    let noted = names.clone();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            noted.lock().unwrap().push(stream.get_ref().1.server_name().map(str::to_owned));
            let mut buffer = vec![0; 4096];
            let read = stream.read(&mut buffer).await.unwrap_or(0);
            if read > 0 {
                let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await;
            }
            let _ = stream.shutdown().await;
        }
    });
    (address, names)
}

fn client(roots: RootCertStore) -> Client {
    let networks = Networks::parse(Some("127.0.0.1")).unwrap();
    Client::trusting(roots, networks, Arc::new(Home), Duration::from_secs(30)).unwrap()
}

async fn post(client: &Client, host: &str, port: u16) -> Result<u16, Unanswered> {
    let url = Url::parse(&format!("https://{host}:{port}/")).unwrap();
    let answer = client.post(&url, HeaderMap::new(), Bytes::from_static(b"{}")).await?;
    Ok(answer.status.as_u16())
}

#[tokio::test]
async fn a_host_that_proves_to_be_who_it_should_be_is_spoken_to_under_its_name() {
    let (address, names) = receiver().await;
    let mut roots = RootCertStore::empty();
    roots.add(certificate()).unwrap();
    let client = client(roots);
    assert_eq!(post(&client, "hook.test", address.port()).await, Ok(204));
    assert_eq!(post(&client, "127.0.0.1", address.port()).await, Ok(204));
    assert_eq!(
        *names.lock().unwrap(),
        [Some("hook.test".to_owned()), None],
        "SNI is the name, never the address"
    );
}

#[tokio::test]
async fn a_host_that_is_somebody_else_or_nobody_known_hears_nothing() {
    let (address, names) = receiver().await;
    let mut roots = RootCertStore::empty();
    roots.add(certificate()).unwrap();
    assert_eq!(post(&client(roots), "other.test", address.port()).await, Err(Unanswered::Tls));
    let usual = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    assert_eq!(post(&client(usual), "hook.test", address.port()).await, Err(Unanswered::Tls));
    assert!(names.lock().unwrap().is_empty(), "no handshake came to its end");
}

#[tokio::test]
async fn a_host_without_tls_hears_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
    });
    assert_eq!(post(&client(RootCertStore::empty()), "hook.test", port).await, Err(Unanswered::Tls));
}
