// The accept page: takes the token out of the address, shows the invitation, accepts or declines it.
// Names from outside are only ever set as text.
"use strict";

const KEPT = "tenure.invitation";
const page = document.getElementById("page");
const part = (id) => document.getElementById(id);
const messages = JSON.parse(page.dataset.messages);
const language = document.documentElement.lang;

// The token as long as this page lives, also where nothing can be kept for it.
let token = null;
let offer = null;
// One key per answer: pressed twice, or tried again after a lost connection, it counts once.
const keys = {};
let busy = false;

// ---- The token

function takeToken() {
  const shown = location.hash.slice(1);
  if (location.href.includes("#")) history.replaceState(null, "", location.pathname + location.search);
  try {
    if (shown) sessionStorage.setItem(KEPT, shown);
    token = shown || sessionStorage.getItem(KEPT);
  } catch {
    token = shown;
  }
}

function forgetToken() {
  token = null;
  try {
    sessionStorage.removeItem(KEPT);
  } catch {
    // Nothing was kept.
  }
}

// ---- Asking

class Refusal extends Error {
  constructor(code, details = {}) {
    super(code);
    this.code = code;
    this.details = details;
  }
}

async function ask(method, path, body, key) {
  const headers = { accept: "application/json" };
  if (body) headers["content-type"] = "application/json";
  if (key) headers["idempotency-key"] = key;
  let response;
  try {
    response = await fetch(path, { method, headers, body: body && JSON.stringify(body), cache: "no-store" });
  } catch {
    throw new Refusal("unreachable");
  }
  const answer = await response.json().catch(() => ({}));
  if (response.ok) return answer;
  if (response.status === 429) {
    throw new Refusal("rate_limited", { seconds: response.headers.get("retry-after") || "60" });
  }
  if (response.status >= 502) throw new Refusal("unreachable");
  throw new Refusal(answer.code || "failed", { request: response.headers.get("x-request-id") || "" });
}

function newKey() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

// ---- Showing

function say(name, details = {}) {
  const known = { workspace: offer?.workspace.name ?? "", email: offer?.email ?? "", inviter: offer?.invited_by ?? "" };
  const words = { ...known, ...details };
  return messages[name].replace(/\{(\w+)\}/g, (all, word) => words[word] ?? all);
}

function button(name, act, isFirst) {
  const made = document.createElement("button");
  made.type = "button";
  made.id = name;
  made.textContent = say(name);
  made.className = isFirst ? "first" : "";
  made.addEventListener("click", () => run(act));
  return made;
}

function signInLink(name) {
  if (!page.dataset.signIn) return null;
  const here = location.origin + location.pathname + location.search;
  let to = page.dataset.signIn;
  if (to.includes("{return_to}")) {
    to = to.replaceAll("{return_to}", encodeURIComponent(here));
  } else {
    const url = new URL(to);
    url.searchParams.append("return_to", here);
    to = url.href;
  }
  const link = document.createElement("a");
  link.id = "sign_in";
  link.href = to;
  link.rel = "noreferrer";
  link.className = "first";
  link.textContent = say(name);
  return link;
}

// One state of the page: what it is, what it means, what can be done.
function show(state, heading, text, actions = []) {
  page.dataset.state = state;
  part("heading").textContent = heading;
  part("text").textContent = text;
  part("actions").replaceChildren(...actions.filter(Boolean));
  part("status").textContent = "";
  document.title = heading;
  showOffer(["offer", "sign_in", "signed_out", "other_address", "unverified", "full", "suspended"].includes(state));
  part("heading").focus();
}

function showOffer(isShown) {
  const logo = part("logo");
  const image = isShown && offer?.workspace.image_url;
  if (image && logo.src !== image) logo.src = image;
  logo.hidden = !image;
  part("facts").hidden = !(isShown && offer);
  if (!isShown || !offer) return;
  const time = new Intl.DateTimeFormat(language, { dateStyle: "long", timeStyle: "short" });
  const facts = [
    ["role", messages[`role_${offer.role}`] ?? offer.role],
    ["address", offer.email],
    ["until", time.format(new Date(offer.expires_at))],
  ];
  part("facts").replaceChildren(...facts.map(([name, value]) => {
    const row = document.createElement("div");
    const [term, fact] = [document.createElement("dt"), document.createElement("dd")];
    term.textContent = say(name);
    fact.textContent = value;
    fact.id = `fact_${name}`;
    row.append(term, fact);
    return row;
  }));
}

// Does one thing at a time; what stands in the way has its own sentence.
async function run(act) {
  if (busy) return;
  busy = true;
  page.setAttribute("aria-busy", "true");
  for (const action of part("actions").children) action.setAttribute("aria-disabled", "true");
  part("status").textContent = say(offer ? "working" : "loading");
  try {
    await act();
  } catch (problem) {
    await refused(problem instanceof Refusal ? problem : new Refusal("failed", { request: "" }), act);
  }
  busy = false;
  page.removeAttribute("aria-busy");
}

// ---- States

const ENDED = {
  token_invalid: "replaced",
  invitation_expired: "expired",
  invitation_not_pending: "not_open",
  inviter_not_permitted: "inviter_gone",
  already_member: "already_member",
  workspace_archived: "archived",
};
const LATER = { seats_exhausted: "full", workspace_suspended: "suspended", rate_limited: "too_many", unreachable: "unreachable" };
const STATUS = { expired: "expired", revoked: "revoked", accepted: "was_accepted", declined: "was_declined" };

function ended(state) {
  forgetToken();
  show(state, say(state), say(`${state}_text`));
}

async function refused({ code, details }, act) {
  if (ENDED[code]) return ended(ENDED[code]);
  if (code === "unauthenticated") return signedOut("signed_out", say("signed_out"));
  // Who is signed in may have changed in another window.
  if (code === "email_mismatch") return open().catch((problem) => refused(problem, open));
  const state = code === "email_unverified" ? "unverified" : LATER[code] ?? "failed";
  const again = button("try_again", act, true);
  show(state, say(state), say(`${state}_text`, details), [again]);
}

function invitation() {
  return say(offer.invited_by ? "invites" : "invited");
}

function signedOut(state, heading) {
  const link = signInLink("sign_in");
  const text = say(link ? "sign_in_first" : "sign_in_yourself");
  show(state, heading, text, [link, button("look_again", open, !link)]);
}

async function session() {
  try {
    return await ask("GET", "v1/session");
  } catch (problem) {
    if (problem.code === "unauthenticated") return null;
    throw problem;
  }
}

async function open() {
  if (!token) return show("no_token", say("no_token"), say("no_token_text"));
  offer = await ask("POST", "accept/preview", { token });
  if (STATUS[offer.status]) return ended(STATUS[offer.status]);
  const current = await session();
  if (!current) return signedOut("sign_in", invitation());
  const { email, email_verified: isVerified, user_id: id } = current.user;
  if (email !== offer.email) {
    const [link, text] = [signInLink("sign_in_other"), say("other_address_text", { user: email ?? id })];
    return show("other_address", say("other_address"), text, [link, button("look_again", open, !link)]);
  }
  if (!isVerified) {
    return show("unverified", say("unverified"), say("unverified_text"), [button("verified", open, true)]);
  }
  const answers = [button("accept", () => answer("accept", "accepted"), true), button("decline", () => answer("decline", "declined"))];
  show("offer", invitation(), say("signed_in", { user: email }), answers);
}

async function answer(action, state) {
  keys[action] ??= newKey();
  await ask("POST", `v1/invitations/${action}`, { token }, keys[action]);
  ended(state);
}

part("logo").addEventListener("error", () => { part("logo").hidden = true; });
// Another link that is opened here begins anew; so does the way back from signing in.
addEventListener("hashchange", () => location.reload());
addEventListener("pageshow", (event) => event.persisted && run(open));
takeToken();
run(open);
