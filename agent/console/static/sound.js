// The alert's sound: when an alert comes, and again until somebody acknowledges it.
//
// Three pulses as IEC 60601-1-8 has them for medium priority (150 to 1000 Hz with four harmonics,
// 125 to 250 ms long and apart), all of one pitch: none of its melodies, which stand for organs.

import { duration, t } from "./words.js";

const PITCH_HZ = 523;
const HARMONICS = [1, 0.7, 0.5, 0.4, 0.3];
const PULSE_S = 0.2;
const EDGE_S = 0.04;
const LOUDNESS = 0.25;
const MUTE_MS = 120_000;

const audio = new AudioContext();
/** @type {Map<string, { at: number, times: number }>} */
const due = new Map(); // alert → when it sounds next [ms], and how often it did
let mutedUntil = 0;

/**
 * `waiting` are the keys of the alerts that nobody has acknowledged.
 * @param {string[]} waiting
 * @param {number[]} repeatS
 * @param {(key: string) => void} onRepeat
 */
export function remind(waiting, repeatS, onRepeat) {
  const now = performance.now();
  for (const key of due.keys()) if (!waiting.includes(key)) due.delete(key);
  const dueNow = waiting.filter((key) => (due.get(key)?.at ?? 0) <= now);
  for (const key of dueNow) {
    const times = due.get(key)?.times ?? 0;
    due.set(key, { at: now + 1000 * repeatS[Math.min(times, repeatS.length - 1)], times: times + 1 });
    onRepeat(key);
  }
  if (dueNow.length && now >= mutedUntil) play();
}

/** @param {HTMLElement} button */
export function soundButton(button) {
  const show = () => {
    const leftMs = mutedUntil - performance.now();
    const blocked = audio.state !== "running";
    const text = blocked ? t("▼ Sound is off: touch to turn it on")
      : leftMs > 0 ? t("▼ Sound off for {time}", { time: duration(leftMs / 1000) }) : t("Mute for 2 min");
    if (button.textContent !== text) button.textContent = text;
    button.classList.toggle("off", blocked || leftMs > 0);
    button.setAttribute("aria-pressed", String(leftMs > 0));
  };
  let turnsOn = false; // the touch that turns the sound on does not mute it
  for (const kind of ["pointerdown", "keydown"]) {
    button.addEventListener(kind, () => { turnsOn = audio.state !== "running"; });
    document.addEventListener(kind, () => audio.resume()); // browsers let no page sound before it is touched
  }
  button.addEventListener("click", () => {
    if (!turnsOn) mutedUntil = performance.now() < mutedUntil ? 0 : performance.now() + MUTE_MS;
    show();
  });
  audio.addEventListener("statechange", show);
  setInterval(show, 500);
  show();
}

function play() {
  if (audio.state !== "running") return;
  for (const n of [0, 1, 2]) pulse(audio.currentTime + 0.05 + n * 2 * PULSE_S);
}

/** @param {number} atS */
function pulse(atS) {
  const envelope = audio.createGain();
  envelope.gain.setValueAtTime(0, atS);
  envelope.gain.linearRampToValueAtTime(LOUDNESS, atS + EDGE_S);
  envelope.gain.setValueAtTime(LOUDNESS, atS + PULSE_S - EDGE_S);
  envelope.gain.linearRampToValueAtTime(0, atS + PULSE_S);
  envelope.connect(audio.destination);
  const tone = audio.createOscillator();
  const amplitudes = [0, ...HARMONICS];
  tone.setPeriodicWave(audio.createPeriodicWave(new Float32Array(amplitudes.length), new Float32Array(amplitudes)));
  tone.frequency.value = PITCH_HZ;
  tone.connect(envelope);
  tone.start(atS);
  tone.stop(atS + PULSE_S);
  tone.onended = () => { tone.disconnect(); envelope.disconnect(); };
}
