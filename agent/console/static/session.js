"use strict";

// Who is signed in. A page whose session is over goes to the sign-in page, and leaves no patient behind.

const TOLD_BEFORE_S = 1800; // a shift that goes on signs in again before its page goes dark
const session = { user: null, role: null, csrf: "", ends_in_s: null };
let sessionKnown = checkSession();

async function checkSession() {
  const answer = await fetch("/api/session").catch(() => null);
  if (answer?.status === 401) return location.replace("/sign-in");
  if (!answer?.ok) return;
  Object.assign(session, await answer.json());
  if (session.user && !document.getElementById("session")) showUser();
}

function showUser() {
  const node = document.createElement("p");
  node.id = "session";
  const name = document.createElement("bdi");
  name.textContent = session.user;
  const button = document.createElement("button");
  button.textContent = "Sign out";
  button.addEventListener("click", signOut);
  node.append(name, ` · ${session.role} `, button);
  document.querySelector("header").append(node);
  setTimeout(tellEnd, Math.max(0, session.ends_in_s - TOLD_BEFORE_S) * 1000, name);
}

function tellEnd(name) {
  const left = Math.min(session.ends_in_s, TOLD_BEFORE_S);
  const at = new Date(Date.now() + left * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
  const node = document.createElement("strong");
  node.textContent = `▼ signs out at ${at} `;
  name.before(node);
}

async function signOut() {
  await post("/api/sign-out", {}).catch(() => null);
  await checkSession();
}

async function post(url, values) {
  await sessionKnown;
  const answer = await fetch(url, {
    method: "POST",
    headers: { "Content-Type": "application/json", "X-Bleedwatch-Csrf": session.csrf },
    body: JSON.stringify(values),
  });
  if (answer.status === 401 || answer.status === 403) sessionKnown = checkSession();
  return answer;
}
