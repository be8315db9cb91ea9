// Who is signed in. A page whose session is over goes to the sign-in page, and leaves no patient behind.

import { element, field, first } from "./dom.js";
import { t, timeOfDay } from "./words.js";

const TOLD_BEFORE_S = 1800; // a shift that goes on signs in again before its page goes dark

/** @type {Session} */
export const session = { user: null, role: null, csrf: "", ends_in_s: null };
let known = checkSession();

export async function checkSession() {
  const answer = await fetch("/api/session").catch(() => null);
  if (answer?.status === 401) location.replace(signInPath());
  if (answer?.ok) Object.assign(session, await answer.json());
  if (session.user && !document.getElementById("session")) showUser(session.user);
  return session;
}

/** Whether whoever sits here may read findings: where nobody signs in, and as a radiologist. */
export async function mayRead() {
  const { user, role } = await known;
  return user === null || role === "radiologist";
}

function signInPath() { // which leads back to one of the radiologist's pages
  const here = location.pathname + location.search;
  return here === "/" ? "/sign-in" : `/sign-in?to=${encodeURIComponent(here)}`;
}

/** @param {string} url @param {object} values */
export async function post(url, values) {
  await known;
  const answer = await fetch(url, {
    method: "POST",
    headers: { "Content-Type": "application/json", "X-Bleedwatch-Csrf": session.csrf },
    body: JSON.stringify(values),
  });
  if (answer.status === 401 || answer.status === 403) known = checkSession();
  return answer;
}

/** @type {Set<WeakRef<HTMLFormElement>>} */
const asking = new Set(); // forms that bear a name

/** Asks for a name once; a form says whose answer it is, and lets another one be given. @param {HTMLFormElement} form */
export async function askName(form) {
  await known;
  asking.add(new WeakRef(form));
  form.querySelector(".as button")?.addEventListener("click", () => {
    sessionStorage.removeItem("who");
    showNames();
    field(form, "who").focus();
  });
  showName(form);
}

function showNames() {
  for (const ref of asking) {
    const form = ref.deref();
    if (form) showName(form);
    else asking.delete(ref);
  }
}

/** @param {HTMLFormElement} form */
function showName(form) {
  const who = field(form, "who");
  const name = session.user ?? sessionStorage.getItem("who") ?? "";
  if (who !== document.activeElement) who.value = name;
  const label = who.closest("label");
  if (label) label.hidden = name !== "";
  const as = form.querySelector(".as");
  if (!(as instanceof HTMLElement)) return;
  as.hidden = session.user !== null || name === "";
  first(as, "span").textContent = t("as {name}", { name });
}

/** @param {HTMLFormElement} form */
export function nameIn(form) {
  const who = session.user ?? field(form, "who").value.trim();
  if (!session.user && who && who !== sessionStorage.getItem("who")) {
    sessionStorage.setItem("who", who);
    showNames();
  }
  return who;
}

/** @param {string} user */
function showUser(user) {
  const node = element("p", "");
  node.id = "session";
  const button = element("button", t("Sign out"), "small");
  button.addEventListener("click", signOut);
  const name = element("bdi", user);
  const role = { service: t("service"), radiologist: t("radiologist"), technologist: t("technologist") }[session.role ?? "technologist"];
  node.append(name, ` · ${role} `, ...(session.role === "radiologist" && location.pathname === "/" ? [readingLink(), " "] : []), button);
  first(document, "header").append(node);
  const endsInS = session.ends_in_s ?? 0;
  setTimeout(tellEnd, Math.max(0, endsInS - TOLD_BEFORE_S) * 1000, name, Math.min(endsInS, TOLD_BEFORE_S));
}

function readingLink() {
  const link = element("a", t("Reading list"));
  link.href = "/reading";
  return link;
}

/** @param {HTMLElement} name @param {number} leftS */
function tellEnd(name, leftS) {
  const time = timeOfDay(new Date(Date.now() + leftS * 1000));
  name.before(element("strong", t("▼ signs out at {time}", { time })), " ");
}

async function signOut() {
  await post("/api/sign-out", {}).catch(() => null);
  await checkSession();
}
