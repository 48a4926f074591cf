//! A JWT issuer for tests: keys of its own, any token one can think of, and its JWKS on a loopback port.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::rand::SystemRandom;
use ring::signature::{self, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RsaKeyPair};
use serde_json::{Value, json};

/// The audience our tokens are for unless a test says otherwise.
pub const AUDIENCE: &str = "tenure";

/// A signing key. `ES256` and `EdDSA` keys are new each time; there is one RSA key, since ring makes none.
pub struct TestKey {
    pub kid: String,
    pair: Pair,
}

enum Pair {
    Es256(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Rs256(RsaKeyPair),
}

impl TestKey {
    pub fn es256(kid: &str) -> Self {
        let (random, curve) = (SystemRandom::new(), &signature::ECDSA_P256_SHA256_FIXED_SIGNING);
        let document = EcdsaKeyPair::generate_pkcs8(curve, &random).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(curve, document.as_ref(), &random).unwrap();
        Self { kid: kid.to_owned(), pair: Pair::Es256(pair) }
    }

    pub fn ed25519(kid: &str) -> Self {
        let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        let pair = Ed25519KeyPair::from_pkcs8(document.as_ref()).unwrap();
        Self { kid: kid.to_owned(), pair: Pair::Ed25519(pair) }
    }

    pub fn rs256(kid: &str) -> Self {
        let pair = RsaKeyPair::from_pkcs8(&STANDARD.decode(RSA_PKCS8).unwrap()).unwrap();
        Self { kid: kid.to_owned(), pair: Pair::Rs256(pair) }
    }

    pub fn alg(&self) -> &'static str {
        match self.pair {
            Pair::Es256(_) => "ES256",
            Pair::Ed25519(_) => "EdDSA",
            Pair::Rs256(_) => "RS256",
        }
    }

    /// The public key as DER or a bare point: what an attacker would use as the secret of an HS256 token.
    pub fn public_bytes(&self) -> &[u8] {
        match &self.pair {
            Pair::Es256(pair) => pair.public_key().as_ref(),
            Pair::Ed25519(pair) => pair.public_key().as_ref(),
            Pair::Rs256(pair) => pair.public_key().as_ref(),
        }
    }

    pub fn jwk(&self) -> Value {
        let b64 = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let mut jwk = match &self.pair {
            Pair::Es256(pair) => {
                let point = pair.public_key().as_ref();
                json!({"kty": "EC", "crv": "P-256", "x": b64(&point[1..33]), "y": b64(&point[33..])})
            }
            Pair::Ed25519(pair) => {
                json!({"kty": "OKP", "crv": "Ed25519", "x": b64(pair.public_key().as_ref())})
            }
            Pair::Rs256(pair) => {
                let public = ring::rsa::PublicKeyComponents::<Vec<u8>>::from(pair.public_key());
                json!({"kty": "RSA", "n": b64(&public.n), "e": b64(&public.e)})
            }
        };
        jwk["kid"] = json!(self.kid);
        jwk["alg"] = json!(self.alg());
        jwk["use"] = json!("sig");
        jwk
    }

    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match &self.pair {
            Pair::Es256(pair) => pair.sign(&random, message).unwrap().as_ref().to_vec(),
            Pair::Ed25519(pair) => pair.sign(message).as_ref().to_vec(),
            Pair::Rs256(pair) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(&signature::RSA_PKCS1_SHA256, &random, message, &mut signature).unwrap();
                signature
            }
        }
    }

    /// A token with this key's `alg` and `kid`.
    pub fn token(&self, claims: &Value) -> String {
        let header = json!({"typ": "JWT", "alg": self.alg(), "kid": self.kid});
        token(&header, claims, |message| self.sign(message))
    }
}

/// A token of any header and claims, signed in any way.
pub fn token(header: &Value, claims: &Value, sign: impl FnOnce(&[u8]) -> Vec<u8>) -> String {
    let part = |json: &Value| URL_SAFE_NO_PAD.encode(json.to_string());
    let message = format!("{}.{}", part(header), part(claims));
    let signature = URL_SAFE_NO_PAD.encode(sign(message.as_bytes()));
    format!("{message}.{signature}")
}

/// What the issuer's web server answers at a path.
#[derive(Clone, Default)]
pub struct Answer {
    pub status: u16,
    pub body: String,
    pub location: Option<String>,
    pub delay: Duration,
}

impl Answer {
    pub fn json(body: &Value) -> Self {
        Self { status: 200, body: body.to_string(), ..Self::default() }
    }
}

#[derive(Default)]
struct Site {
    answers: HashMap<String, Answer>,
    asked: Vec<String>,
    down: bool,
}

/// An issuer on a loopback port, with discovery at the usual place and its keys at `/jwks`.
pub struct TestIssuer {
    pub url: String,
    pub key: TestKey,
    site: Arc<Mutex<Site>>,
}

impl TestIssuer {
    /// With one `ES256` key, published.
    pub async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let site = Arc::<Mutex<Site>>::default();
        let router = Router::new().fallback(answer).with_state(Arc::clone(&site));
        tokio::spawn(async move { axum::serve(listener, router).await });
        let issuer = Self { key: TestKey::es256("key-1"), site, url };
        let discovery = json!({"issuer": issuer.url, "jwks_uri": format!("{}/jwks", issuer.url)});
        issuer.answer("/.well-known/openid-configuration", Answer::json(&discovery));
        issuer.publish(&[&issuer.key]);
        issuer
    }

    /// This issuer's entry in `TENURE_JWT_ISSUERS`.
    pub fn setting(&self) -> String {
        format!("{}|{AUDIENCE}|{}/jwks", self.url, self.url)
    }

    /// Claims that are in order at `now` (seconds), valid for five minutes.
    pub fn claims(&self, subject: &str, now: i64) -> Value {
        json!({"iss": self.url, "aud": AUDIENCE, "sub": subject, "iat": now, "exp": now + 300})
    }

    /// A token that is in order at `now`.
    pub fn token(&self, subject: &str, now: i64) -> String {
        self.key.token(&self.claims(subject, now))
    }

    pub fn publish(&self, keys: &[&TestKey]) {
        self.publish_jwks(&keys.iter().map(|key| key.jwk()).collect::<Vec<_>>());
    }

    pub fn publish_jwks(&self, keys: &[Value]) {
        self.answer("/jwks", Answer::json(&json!({ "keys": keys })));
    }

    pub fn answer(&self, path: &str, answer: Answer) {
        self.site.lock().unwrap().answers.insert(path.to_owned(), answer);
    }

    /// While down, every answer is 503.
    pub fn down(&self, down: bool) {
        self.site.lock().unwrap().down = down;
    }

    /// How often the path was asked for.
    pub fn asked(&self, path: &str) -> usize {
        self.site.lock().unwrap().asked.iter().filter(|asked| *asked == path).count()
    }
}

async fn answer(State(site): State<Arc<Mutex<Site>>>, uri: Uri) -> Response {
    let (answer, down) = {
        let mut site = site.lock().unwrap();
        site.asked.push(uri.path().to_owned());
        (site.answers.get(uri.path()).cloned(), site.down)
    };
    let Some(answer) = answer.filter(|_| !down) else {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
    tokio::time::sleep(answer.delay).await;
    let location = answer.location.map(|location| [(header::LOCATION, location)]);
    (StatusCode::from_u16(answer.status).unwrap(), location, answer.body).into_response()
}

/// Made for these tests with `openssl genpkey`; it guards nothing.
const RSA_PKCS8: &str = concat!(
    "MIIEvwIBADANBgkqhkiG9w0BAQEFAASCBKkwggSlAgEAAoIBAQCqK3DSE/5dhXp4JES4W6cHCATWxaZniUXz6bvWqv7ho9xFIWEl",
    "z9LQsu0Qp8ewocEAYVxXAuMYvVyOZNs9wIJpVYVy9mUEkNz1366DD/C6tOsOz2iWxPwr6PHBmyWYKNJYMy7lz0r6KwuhE57dU8KI",
    "tZcZ+dZ9sigqoGCSpIuZ84jGyQ0vTxXvAM4QCjLfgtWPt/W9xfWpUV3Fcoi/DM36xWDo3/uLCXReTJbm/xSCc7HJ9Up5d4Hp+Cfh",
    "RpuN7AWx7eOjZWulKkVET/7Ka45exM3urOJr62Ez5/Z+UZ3btIR6A85ua3qX4O+lDbH2vKSHCOLXKoNF47vppwbOdSHdAgMBAAEC",
    "ggEABJeMgVbBx/NIpUJRSmpKvRFV1BfcUDHvnc/iXj4aB6u8z27BqNwNU81oQUlNxbHvu9tkuwJcb3f4re0Bz45I1p/UrJAClNd1",
    "5vqkwmulMtyb9TfamirxpRuxnmhZ4NvFJVUoQFJSMyMDOtMFN/LBLqA71hscUyMCG3hdcseW7s4Mxg7rg+sYGoJiDQtfka90ZVJj",
    "v8ZDMQQHWh4OhsRWqIUtMwjmB/I09XZhEpJARq2MqQqzwmGWZRW/EndfuNR8NIGE5HsrIst4mN2Q+yfkGcOX+WtgaBZT9oLtRyJS",
    "qjmWfi8dUHIZcyoQ+bh+OlqBIYm5iU5BRQKV4j8wGzNdnwKBgQDjVaywm7OMt1OtskpUt8wKUULxn/Hcv1XRxzej5zPwV8bJObfJ",
    "RBsxOssCeDv2oXYZkH1QUBv7Tv/573v5adW7Z1SDoeNHkDVccbe0OIS+r6KHC5BTeOfau10dPD+0RR3jhAtmkplvPed97dTLQvTu",
    "a65xD/CzX56x44P+yBcOUwKBgQC/oH17XEuOMlKANG7Jzvm7R+WyqvagXWSoj6ZtJ+qb8CxNrv+CthGGIs5LjjMbbaVRNW93JVOY",
    "v0hZ61uUJH3JBq0mGorPMCe7+NvqDuqcM3wQKu6NJSM4LnGMBbE+so/dt//cYMp1tWKWu0esdd0QpS5tk27/s+pwB0jVcvApDwKB",
    "gQCv8OGq+YX3dPblKmROtsTKg2O9Hx2Py+E+buFID6rp6vUlTW9I7FXjPu5ZJfa6hPGjDWl+29EcKWMA63DWciuBU5JcIdGF1D0I",
    "I9aaO1e5QLMXs0Jq59sBNRr2gmeHPCrKp6ovI2xuZMmhc4zKFzL6xwoF5OFT4cAvSrcgW3lEkwKBgQC202lFDA6uEUbzOJNHCajs",
    "TLFTIJgC8nf59mwDkuTceG3chA0VaZ4YixalsXsDPT5P15qMY1l5z245FDsggRxdcng6dXJgMIKIbetrSWX/N4OzbTKCCZ+rl2wP",
    "+tJbjkOCd22ulc40NaVlSDMe0Kjkm6RLOTHa1o3i6qBLvchycwKBgQCM54eFzNjgUsf9VQcVU6nShlnozIJDN4z5Tj/KFFBWFp6p",
    "eFuK49JbtjNLo9RH0HoqbbxJEFT739tZLyA0/8Q50GCJd5C5h7gvFYOnqVxxkN0yA9XC0v+ulLl+ju9pQu1wDltIbSo9AUaTN7r/",
    "BuHiBtWAnIuhVsyQmmjUO8fUMA==",
);
