// Who is signed in. A page whose session is over goes to the sign-in page, and leaves no patient behind.

import { element, t, timeOfDay } from "./words.js";

const TOLD_BEFORE_S = 1800; // a shift that goes on signs in again before its page goes dark

export const session = { user: null, role: null, csrf: "", ends_in_s: null };
let known = checkSession();

export async function checkSession() {
  const answer = await fetch("/api/session").catch(() => null);
  if (answer?.status === 401) return location.replace("/sign-in");
  if (answer?.ok) Object.assign(session, await answer.json());
  if (session.user && !document.getElementById("session")) showUser();
  return session;
}

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

export async function askName(form) { // a name field, for who is not signed in
  await known;
  const { who } = form.elements;
  who.value = session.user ?? sessionStorage.getItem("who") ?? "";
  who.closest("label").hidden = session.user !== null;
}

export function nameIn(form) {
  const who = session.user ?? form.elements.who.value.trim();
  if (!session.user) sessionStorage.setItem("who", who);
  return who;
}

function showUser() {
  const node = element("p", "");
  node.id = "session";
  const button = element("button", t("Sign out"), "small");
  button.addEventListener("click", signOut);
  const roles = { technologist: t("technologist"), service: t("service") };
  const name = element("bdi", session.user);
  node.append(name, ` · ${roles[session.role]} `, button);
  document.querySelector("header").append(node);
  setTimeout(tellEnd, Math.max(0, session.ends_in_s - TOLD_BEFORE_S) * 1000, name);
}

function tellEnd(name) {
  const left = Math.min(session.ends_in_s, TOLD_BEFORE_S);
  const time = timeOfDay(new Date(Date.now() + left * 1000));
  name.before(element("strong", t("▼ signs out at {time}", { time })), " ");
}

async function signOut() {
  await post("/api/sign-out", {}).catch(() => null);
  await checkSession();
}
