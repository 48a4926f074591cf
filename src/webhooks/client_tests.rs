//! Where the client never connects, whatever it is told, and how it bears receivers of every kind.

use std::collections::{HashMap, VecDeque};
use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::sync::Mutex;

use futures::future::BoxFuture;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::webhooks::SystemResolver;

/// Names as a test wants them to resolve: each question takes the next answer, and the last stays.
#[derive(Debug, Default)]
struct Names(Mutex<HashMap<String, VecDeque<Vec<IpAddr>>>>);

impl Names {
    fn of(names: &[(&str, &[&[&str]])]) -> Arc<Self> {
        let parse = |addresses: &&[&str]| addresses.iter().map(|ip| ip.parse().unwrap()).collect();
        let names = names.iter().map(|(name, answers)| {
            ((*name).to_owned(), answers.iter().map(parse).collect::<VecDeque<Vec<IpAddr>>>())
        });
        Arc::new(Self(Mutex::new(names.collect())))
    }
}

impl Resolve for Names {
    fn resolve<'a>(&'a self, name: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        Box::pin(async move {
            let mut names = self.0.lock().unwrap();
            let answers = names.get_mut(name).ok_or(io::ErrorKind::NotFound)?;
            Ok(if answers.len() > 1 { answers.pop_front().unwrap() } else { answers[0].clone() })
        })
    }
}

/// Never answers.
#[derive(Debug)]
struct Silence;

impl Resolve for Silence {
    fn resolve<'a>(&'a self, _: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        Box::pin(pending())
    }
}

/// What a receiver does with a connection once the request has come.
#[derive(Clone)]
enum Manner {
    Says(Vec<u8>),
    /// Says that, then nothing, and holds on.
    Hangs(&'static str),
    /// Says that, then never stops.
    Endless(&'static str),
}

/// A listener that remembers who connected.
struct Receiver {
    address: SocketAddr,
    visitors: Arc<Mutex<Vec<SocketAddr>>>,
    heard: Arc<Mutex<Vec<u8>>>,
}

impl Receiver {
    async fn on(ip: &str, manner: Manner) -> Self {
        let listener = TcpListener::bind((ip, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let receiver = Self { address, visitors: Arc::default(), heard: Arc::default() };
        let (visitors, heard) = (receiver.visitors.clone(), receiver.heard.clone());
        tokio::spawn(async move {
            loop {
                let (stream, visitor) = listener.accept().await.unwrap();
                visitors.lock().unwrap().push(visitor);
                tokio::spawn(serve(stream, manner.clone(), heard.clone()));
            }
        });
        receiver
    }

    async fn says(head: &str, body: &str) -> Self {
        Self::on("127.0.0.1", Manner::Says(format!("{head}\r\n\r\n{body}").into_bytes())).await
    }

    /// How many connected. Connections are accepted in order: who came before this look is seen before it.
    async fn visits(&self) -> usize {
        let look = TcpStream::connect(self.address).await.unwrap().local_addr().unwrap();
        loop {
            let seen = self.visitors.lock().unwrap().iter().position(|visitor| *visitor == look);
            match seen {
                Some(before) => return before,
                None => tokio::task::yield_now().await,
            }
        }
    }

    fn url(&self) -> String {
        format!("http://{}/hook?a=b#c", self.address)
    }
}

async fn serve(mut stream: TcpStream, manner: Manner, heard: Arc<Mutex<Vec<u8>>>) {
    let mut buffer = vec![0; 16 * 1024];
    let read = stream.read(&mut buffer).await.unwrap_or(0);
    if read == 0 {
        return;
    }
    heard.lock().unwrap().extend_from_slice(&buffer[..read]);
    match manner {
        Manner::Says(text) => {
            let _ = stream.write_all(&text).await;
        }
        Manner::Hangs(text) => {
            let _ = stream.write_all(text.as_bytes()).await;
            pending::<()>().await;
        }
        Manner::Endless(text) => {
            let _ = stream.write_all(text.as_bytes()).await;
            while stream.write_all(&[b'x'; 4096]).await.is_ok() {}
        }
    }
}

const LONG: Duration = Duration::from_secs(30);
const SHORT: Duration = Duration::from_millis(200);

fn client(allowed: &str, resolver: Arc<dyn Resolve>, patience: Duration) -> Client {
    Client::new(Networks::parse(Some(allowed)).unwrap(), resolver, patience).unwrap()
}

/// One that may reach this machine.
fn at_home(patience: Duration) -> Client {
    client("127.0.0.0/8", Arc::new(SystemResolver), patience)
}

async fn post(client: &Client, url: &str) -> Result<Answer, Unanswered> {
    let url = Url::parse(url).unwrap();
    client.post(&url, HeaderMap::new(), Bytes::from_static(b"{}")).await
}

#[tokio::test]
async fn no_spelling_of_an_address_at_home_is_connected_to() {
    let receiver = Receiver::says("HTTP/1.1 200 OK", "").await;
    let other = Receiver::on("::1", Manner::Hangs("")).await;
    let port = receiver.address.port();
    let client = client("", Arc::new(SystemResolver), LONG);
    for host in [
        "127.0.0.1",
        "127.0.0.1.",
        "2130706433",
        "0x7f000001",
        "0x7F.1",
        "0177.0.0.1",
        "017700000001",
        "127.1",
        "127.0.1",
        "127.0.0.2",
        "%31%32%37.0.0.1",
        "１２７.0.0.1",
        "127。0。0。1",
        "[::1]",
        "[0:0:0:0:0:0:0:1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "0.0.0.0",
        "0",
        "[::]",
        "169.254.169.254",
        "10.0.0.1",
        "192.168.0.1",
        "[fd00:ec2::254]",
        "[fe80::1]",
        "localhost",
        "LOCALHOST",
        "ⓛocalhost",
    ] {
        for port in [port, other.address.port()] {
            for scheme in ["http", "https"] {
                let url = format!("{scheme}://{host}:{port}/hook");
                assert_eq!(post(&client, &url).await.unwrap_err(), Unanswered::PrivateAddress, "{url}");
            }
        }
    }
    // Whether this is a name at all is for the machine to say.
    let dotted = post(&client, &format!("http://localhost.:{port}/")).await.unwrap_err();
    assert!(matches!(dotted, Unanswered::PrivateAddress | Unanswered::Dns), "{dotted}");
    assert_eq!((receiver.visits().await, other.visits().await), (0, 0));
}

#[tokio::test]
async fn a_name_that_leads_home_is_not_followed() {
    let receiver = Receiver::says("HTTP/1.1 200 OK", "").await;
    let names: &[(&str, &[&[&str]])] = &[
        ("metadata.google.internal", &[&["169.254.169.254"]]),
        ("home.example", &[&["127.0.0.1"]]),
        ("home.example.", &[&["127.0.0.1"]]),
        ("mapped.example", &[&["::ffff:127.0.0.1"]]),
        ("many.example", &[&["10.0.0.1", "127.0.0.1", "::1", "0.0.0.0", "fe80::1"]]),
        ("xn--mnchen-3ya.example", &[&["127.0.0.1"]]),
    ];
    let client = client("", Names::of(names), LONG);
    for name in names.iter().map(|(name, _)| *name).chain(["münchen.example"]) {
        for scheme in ["http", "https"] {
            let url = format!("{scheme}://{name}:{}/", receiver.address.port());
            assert_eq!(post(&client, &url).await.unwrap_err(), Unanswered::PrivateAddress, "{url}");
        }
    }
    assert_eq!(post(&client, "https://nowhere.example/").await.unwrap_err(), Unanswered::Dns);
    assert_eq!(receiver.visits().await, 0);
}

#[tokio::test]
async fn of_a_mix_only_what_may_be_reached_is() {
    let allowed = Receiver::says("HTTP/1.1 200 OK", "hello").await;
    let port = allowed.address.port();
    let listener = TcpListener::bind(("127.0.0.3", port)).await.unwrap();
    let names: &[(&str, &[&[&str]])] = &[
        ("mix.example", &[&["127.0.0.3", "169.254.169.254", "127.0.0.1"]]),
        // What a second question would be told is never asked for.
        ("rebinding.example", &[&["127.0.0.1"], &["127.0.0.3"]]),
    ];
    let client = client("127.0.0.1", Names::of(names), LONG);
    for (name, _) in names {
        let answer = post(&client, &format!("http://{name}:{port}/")).await.unwrap();
        assert_eq!((answer.status, answer.reply.as_slice()), (StatusCode::OK, b"hello".as_slice()));
        assert!(answer.private);
    }
    let again = post(&client, &format!("http://rebinding.example:{port}/")).await;
    assert_eq!(again.unwrap_err(), Unanswered::PrivateAddress);
    let own = TcpStream::connect(("127.0.0.3", port)).await.unwrap().local_addr().unwrap();
    assert_eq!(listener.accept().await.unwrap().1, own, "the first who came is the test itself");
}

#[tokio::test]
async fn the_internet_is_not_spoken_to_in_the_clear() {
    let client = client("10.0.0.0/8", Names::of(&[("a.example", &[&["8.8.8.8"]])]), LONG);
    for url in ["http://8.8.8.8/", "http://[2001:4860:4860::8888]/", "http://a.example:443/"] {
        assert_eq!(post(&client, url).await.unwrap_err(), Unanswered::Insecure, "{url}");
    }
}

#[tokio::test]
async fn a_request_says_what_it_was_told_and_nothing_of_a_proxy_or_a_fragment() {
    let receiver = Receiver::says("HTTP/1.1 204 No Content", "").await;
    let url = Url::parse(&receiver.url()).unwrap();
    let headers = HeaderMap::from_iter([(
        hyper::header::HeaderName::from_static("webhook-id"),
        HeaderValue::from_static("x"),
    )]);
    let answer = at_home(LONG).post(&url, headers, Bytes::from_static(b"{\"a\":1}")).await.unwrap();
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
    let heard = String::from_utf8(receiver.heard.lock().unwrap().clone()).unwrap();
    let expected = format!(
        "POST /hook?a=b HTTP/1.1\r\nwebhook-id: x\r\nhost: {}\r\ncontent-length: 7\r\n\r\n{{\"a\":1}}",
        receiver.address
    );
    assert_eq!(heard, expected);
}

#[tokio::test]
async fn no_redirect_is_followed() {
    let other = Receiver::says("HTTP/1.1 200 OK", "").await;
    for status in [301, 302, 303, 307, 308] {
        let head = format!("HTTP/1.1 {status} Elsewhere\r\nlocation: {}\r\ncontent-length: 0", other.url());
        let receiver = Receiver::says(&head, "").await;
        assert_eq!(post(&at_home(LONG), &receiver.url()).await.unwrap().status.as_u16(), status);
    }
    assert_eq!(other.visits().await, 0);
}

#[tokio::test]
async fn whoever_hangs_is_given_up_on() {
    for said in ["", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\ncontent-length: 1\r\nx: "] {
        let receiver = Receiver::on("127.0.0.1", Manner::Hangs(said)).await;
        assert_eq!(post(&at_home(SHORT), &receiver.url()).await.unwrap_err(), Unanswered::Timeout, "{said}");
        let tls = receiver.url().replace("http:", "https:");
        if said.is_empty() {
            assert_eq!(post(&at_home(SHORT), &tls).await.unwrap_err(), Unanswered::Timeout);
        }
    }
    let silent = client("", Arc::new(Silence), SHORT);
    assert_eq!(post(&silent, "https://a.example/").await.unwrap_err(), Unanswered::Timeout);
}

#[tokio::test]
async fn a_status_counts_even_where_the_reply_breaks_off_or_never_ends() {
    let hanging =
        Receiver::on("127.0.0.1", Manner::Hangs("HTTP/1.1 500 No\r\ncontent-length: 9\r\n\r\nwell")).await;
    let answer = post(&at_home(SHORT), &hanging.url()).await.unwrap();
    assert_eq!((answer.status.as_u16(), answer.reply.as_slice()), (500, b"well".as_slice()));

    let broken = Receiver::says("HTTP/1.1 200 OK\r\ncontent-length: 900", "well").await;
    let answer = post(&at_home(LONG), &broken.url()).await.unwrap();
    assert_eq!((answer.status.as_u16(), answer.reply.as_slice()), (200, b"well".as_slice()));

    for head in ["HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n"] {
        let endless = Receiver::on("127.0.0.1", Manner::Endless(head)).await;
        let answer = post(&at_home(LONG), &endless.url()).await.unwrap();
        assert_eq!((answer.status.as_u16(), answer.reply.len()), (200, KEPT));
    }
}

#[tokio::test]
async fn a_reply_is_taken_as_it_comes() {
    let packed =
        Receiver::says("HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 4", "\x1f?\x08x").await;
    assert_eq!(post(&at_home(LONG), &packed.url()).await.unwrap().reply, b"\x1f?\x08x");
}

#[tokio::test]
async fn what_is_no_answer_has_a_reason() {
    for (said, why) in [
        ("SSH-2.0-OpenSSH_9.2\r\n", Unanswered::NotHttp),
        ("HTTP/0.9\r\n\r\n", Unanswered::NotHttp),
        ("", Unanswered::Connection),
        ("HTTP/1.1 200 OK\r\n", Unanswered::Connection),
    ] {
        let receiver = Receiver::on("127.0.0.1", Manner::Says(said.into())).await;
        assert_eq!(post(&at_home(LONG), &receiver.url()).await.unwrap_err(), why, "{said}");
    }
    let large = Receiver::on("127.0.0.1", Manner::Endless("HTTP/1.1 200 OK\r\nx: ")).await;
    assert_eq!(post(&at_home(LONG), &large.url()).await.unwrap_err(), Unanswered::NotHttp);
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    assert_eq!(post(&at_home(LONG), &format!("http://{free}/")).await.unwrap_err(), Unanswered::Refused);
}
