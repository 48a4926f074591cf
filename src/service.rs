//! The running service without its sockets: pools, store, projector, upkeep, and how they stop.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use metrics_exporter_prometheus::PrometheusHandle;
use sqlx::PgPool;
use sqlx::postgres::PgConnectOptions;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::access::{Access, Feed};
use crate::attempts::Attempts;
use crate::checkpoints::Checkpoints;
use crate::clock;
use crate::commands::upkeep;
use crate::config::{SessionTimes, Settings};
use crate::data_keys::Vault;
use crate::database::{Role, by_keys, migrate, pool};
use crate::deliveries::outbox::Outbox;
use crate::feeds::Feeds;
use crate::feeds::lag::Lags;
use crate::http::App;
use crate::http::accept_page::AcceptPage;
use crate::http::admission::Admission;
use crate::http::base::client_addr::TrustedProxies;
use crate::http::rate_limits::{Quotas, RateLimits};
use crate::issuers::{Issuers, JwksClient, config};
use crate::key_ring::KeyRing;
use crate::mail::{Mail, MailCarrier};
use crate::overload::Pressure;
use crate::projector::{Handle, Projector};
use crate::reads::Reads;
use crate::secrets::{Keys, MasterKeys, OperatorKey, OperatorKeyFile};
use crate::sessions::Sessions;
use crate::store::Store;
use crate::webhooks::{Client, Networks, SystemResolver, WebhookCarrier};

/// How long a start waits for the access index. One that takes longer is waited for by `/readyz`.
const LOADING: Duration = Duration::from_secs(10);

/// Scheme, host and port of a URL, as browsers write it.
fn origin_of(url: &str) -> Option<String> {
    let origin = url::Url::parse(url).ok()?.origin();
    origin.is_tuple().then(|| origin.ascii_serialization())
}

#[derive(Debug)]
pub struct Service {
    app: Arc<App>,
    projector: Handle,
    upkeep: JoinHandle<()>,
    feed: JoinHandle<()>,
    attempts: JoinHandle<()>,
    rate_limits: JoinHandle<()>,
    tail: JoinHandle<()>,
    outbox: Outbox,
    stopping: CancellationToken,
    stop_projector: watch::Sender<bool>,
    pools: Pools,
    first_operator_key: Option<String>,
}

impl Service {
    /// Prepares the database and starts everything that works on it.
    pub async fn start(
        settings: &Settings,
        database: &PgConnectOptions,
        metrics: Option<PrometheusHandle>,
    ) -> anyhow::Result<Self> {
        let told = Told::by(settings)?;
        let (name, times) = told.sessions;

        migrate(database).await?;
        let pools = Pools::new(database, settings.pool_size);
        let key_file = settings.audit_signing_key_file();
        let public_url = settings.public_url.as_deref();
        let (vault, root) = Vault::open(pools.keeper.clone(), told.masters).await?;
        let checkpoints = Checkpoints::open(&pools.appender, &key_file, public_url).await?;
        let access = Access::new(settings.access_staleness);
        let pressure = Pressure::default();
        let appender = pools.appender.clone();
        let store = Store::open(appender, vault.clone(), access.clone(), pressure.clone()).await?;
        let (stop_projector, stopped) = watch::channel(false);
        let log = store.position();
        let projector = Projector::spawn(
            pools.projector.clone(),
            vault.clone(),
            clock::now,
            log,
            stopped.clone(),
            pressure.clone(),
        )?;
        let reads =
            Reads::new(pools.service.clone(), store.clone(), projector.applied(), projector.snapshots());
        let stopping = CancellationToken::new();
        let key_ring =
            Arc::new(KeyRing::new(store.clone(), reads.clone(), pools.projector.clone(), access.clone()));
        let works = upkeep::Upkeep {
            store: store.clone(),
            projector: pools.projector.clone(),
            key_ring: key_ring.clone(),
            lags: Lags::default(),
        };
        let upkeep = tokio::spawn(works.run(stopping.clone()));
        let feed = Feed::spawn(access.clone(), pools.projector.clone(), store.clone(), stopping.clone());
        let (attempts, attempts_writer) = Attempts::spawn(
            pools.projector.clone(),
            vault.clone(),
            store.position(),
            projector.applied(),
            stopping.clone(),
        );
        let mut outbox = Outbox::new(
            pools.deliveries.clone(),
            vault.clone(),
            &root,
            projector.applied(),
            settings.delivery_times.clone(),
            stopping.clone(),
        );
        let keys = Keys::from(&root);
        outbox.start(WebhookCarrier::new(told.webhooks, &outbox, store.clone(), keys.webhook_secret.clone()));
        outbox.start(MailCarrier::new(&told.mail, &outbox, &store, &keys));
        access.settled(LOADING).await;
        let sessions = Sessions::new(&times, name, &root, store.clone());
        let app = Arc::new(App {
            store,
            vault,
            reads,
            access,
            attempts,
            keys,
            operator: told.operator,
            issuers: told.issuers,
            own_origin: origin_of(&sessions.issuer),
            sessions,
            checkpoints,
            key_ring,
            admission: Admission::new(settings.limits, settings.pool_size, pressure),
            rate_limits: told.quotas.as_ref().map(RateLimits::new),
            trusted_proxies: told.trusted_proxies,
            webhook_networks: told.webhook_networks,
            feeds: Feeds::new(settings.feed_times, settings.feed_streams, settings.pool_size),
            mail: told.mail,
            projector_pool: pools.projector.clone(),
            projector: projector.snapshots(),
            metrics,
            public_url: settings.public_url.clone(),
            accept_page: told.accept_page,
            stopping: stopping.clone(),
        });
        let rate_limits = tokio::spawn(look_after_limits(app.clone(), stopping.clone()));
        let tail = tokio::spawn(tell_live_streams(app.clone(), projector.applied(), stopping.clone()));
        Ok(Self {
            app,
            projector,
            upkeep,
            feed,
            attempts: attempts_writer,
            rate_limits,
            tail,
            outbox,
            stopping,
            stop_projector,
            pools,
            first_operator_key: told.first_operator_key,
        })
    }

    pub fn app(&self) -> Arc<App> {
        self.app.clone()
    }

    /// Cancelled when the service is to stop; whoever cancels it stops it.
    pub fn stopping_token(&self) -> CancellationToken {
        self.stopping.clone()
    }

    /// The operator key, if this start made it.
    pub fn first_operator_key(&self) -> Option<&str> {
        self.first_operator_key.as_deref()
    }

    /// Writes what was accepted, lets the read models come to it, and closes everything.
    pub async fn stop(self) {
        self.stopping.cancel();
        let _ = self.upkeep.await;
        let _ = self.feed.await;
        let _ = self.attempts.await;
        let _ = self.rate_limits.await;
        let _ = self.tail.await;
        self.outbox.stopped().await;
        self.app.store.close().await;
        let _ = self.stop_projector.send(true);
        self.projector.join().await;
        self.pools.close().await;
    }
}

/// What the settings say, found to be in order before anything is touched.
struct Told {
    trusted_proxies: TrustedProxies,
    quotas: Option<Quotas>,
    webhook_networks: Networks,
    webhooks: Client,
    masters: MasterKeys,
    operator: OperatorKeyFile,
    first_operator_key: Option<String>,
    sessions: (String, SessionTimes),
    issuers: Issuers,
    accept_page: AcceptPage,
    mail: Arc<Mail>,
}

impl Told {
    fn by(settings: &Settings) -> anyhow::Result<Self> {
        let trusted_proxies = TrustedProxies::parse(settings.trusted_proxies.as_deref().unwrap_or_default())?;
        let quotas = Quotas::parse(settings.rate_limits.as_deref().unwrap_or_default())?;
        let webhook_networks = Networks::parse(settings.webhook_allow_networks.as_deref())?;
        let resolver = Arc::new(SystemResolver);
        let webhooks = Client::new(webhook_networks.clone(), resolver, settings.delivery_times.patience)?;
        let (name, times) = (settings.issuer()?, settings.session_times()?);
        let issuers = trusted_issuers(settings, &name)?;
        let accept_page = AcceptPage::of(settings)?;
        let mail = Arc::new(Mail::open(settings)?);
        std::fs::create_dir_all(&settings.data_dir)
            .with_context(|| format!("cannot make {}", settings.data_dir.display()))?;
        let masters = settings.master_keys()?;
        let (operator, first_operator_key) = operator_key(settings)?;
        let sessions = (name, times);
        Ok(Self {
            trusted_proxies,
            quotas,
            webhook_networks,
            webhooks,
            masters,
            operator,
            first_operator_key,
            sessions,
            issuers,
            accept_page,
            mail,
        })
    }
}

/// Connections, by what they may do.
#[derive(Debug)]
struct Pools {
    service: PgPool,
    appender: PgPool,
    projector: PgPool,
    keeper: PgPool,
    /// The projector's role once more, so that what goes out is never in the way of the read models.
    deliveries: PgPool,
}

impl Pools {
    fn new(database: &PgConnectOptions, size: u32) -> Self {
        Self {
            service: pool(database, Role::Service, size),
            appender: pool(database, Role::Appender, size),
            projector: pool(database, Role::Projector, 8),
            keeper: pool(database, Role::Keeper, 4),
            deliveries: pool(&by_keys(database), Role::Projector, 8),
        }
    }

    async fn close(self) {
        for pool in [self.service, self.appender, self.projector, self.keeper, self.deliveries] {
            pool.close().await;
        }
    }
}

async fn tell_live_streams(app: Arc<App>, applied: watch::Receiver<i64>, stop: CancellationToken) {
    app.feeds.tail.follow(app.projector_pool.clone(), applied, stop).await;
}

/// The operator key's file, and the key in it if this start made it.
fn operator_key(settings: &Settings) -> anyhow::Result<(OperatorKeyFile, Option<String>)> {
    let (preset, path) = (settings.operator_key.as_deref(), settings.operator_key_file());
    let (operator, created) = OperatorKeyFile::open(&path, preset, clock::now())?;
    let first = if created { Some(OperatorKey::load_or_create(&path, preset)?.0) } else { None };
    Ok((operator, first.map(|key| key.reveal().to_owned())))
}

/// The issuers whose JWTs count; `own` is the name of Tenure itself.
fn trusted_issuers(settings: &Settings, own: &str) -> anyhow::Result<Issuers> {
    let issuers = config::parse(settings.jwt_issuers.as_deref().unwrap_or_default())?;
    // Its tokens would then count without their sessions.
    anyhow::ensure!(
        issuers.iter().all(|issuer| issuer.issuer != own),
        "TENURE_JWT_ISSUERS must not name Tenure itself, which is {own}"
    );
    Ok(Issuers::new(issuers, &JwksClient::new()?))
}

async fn look_after_limits(app: Arc<App>, stop: CancellationToken) {
    let limits = async {
        match &app.rate_limits {
            Some(limits) => limits.look_after(stop).await,
            None => stop.cancelled().await,
        }
    };
    tokio::select! {
        () = limits => {}
        () = app.admission.watch() => {}
    }
}
