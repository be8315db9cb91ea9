// What the console's server sends to its page.

type ReasonValue = string | number | Reason | Reason[];

interface Reason {
  code: string;
  values: Record<string, ReasonValue>;
  text: string;
  what_to_do: string;
}

interface Words {
  language: string;
  words: Record<string, string>;
  reasons: Record<string, { text: string; what_to_do: string }>;
}

interface Engine {
  bundle: string;
  version: string;
  backend: string;
  device: string;
}

interface Finding {
  subtype: string;
  side: string | null;
  region: string | null;
  volume_ml: number;
  volume_interval_ml: [number, number];
  probability: number;
  place: [number, number, number] | null;
  key_slice: number;
}

interface Report {
  engine: Engine | null;
  revision: number;
  state: SeriesState;
  code: string | null;
  values: Record<string, ReasonValue>;
  text: string | null;
  what_to_do: string | null;
  score: number | null;
  total_volume_ml: number | null;
  midline_shift_mm: number | null;
  findings: Finding[];
  caveats: Reason[];
  geometry: { tilt_deg: number } | null;
}

type Refused = Report & Reason;

type SeriesState = "receiving" | "analysing" | "suspected" | "not_suspected" | "not_analysed";

interface SliceStack {
  kept: "whole";
  n: number;
  rows: number;
  columns: number;
  spacing_mm: [number, number];
  heights_mm: number[];
  outlined: number[];
  voxels_ml: number[];
  field_mm: number | null;
  vertex_mm: number | null;
  mapped: (number | null)[];
}

type KeptSlices = SliceStack | { kept: "coming" | "no" };

interface LaidOver { registered: boolean; said: Reason }

interface Session {
  user: string | null;
  role: "technologist" | "radiologist" | "service" | null;
  csrf: string;
  ends_in_s: number | null;
}

interface Patient {
  patient_name: string;
  patient_id: string;
  birth_date: string;
  sex: string;
  accession: string;
}

interface Answer {
  who: string;
  at_utc: string;
  note: string;
}

interface Series {
  series_uid: string;
  test: boolean;
  patient: Patient;
  description: string | null;
  state: SeriesState;
  slices: number;
  expected: number;
  thickness_mm: number | null;
  scanner: string;
  place: "speaks" | "beside" | "aside" | null;
  concluded_utc: string | null;
  last_slice_utc: string;
  last_slice_age_s: number | null;
  revision: number;
  report: Report | null;
  shown_utc: string | null;
  acknowledged: (Answer & { dismissed_because: string; through_series_uid: string | null }) | null;
  verdict: (Answer & { agrees: boolean }) | null;
  taken_back?: TakenBack | null;
  alert: Report | null;
  escalated_utc: string | null;
  escalation_problem: Reason | null;
  unread_files: string[];
  sent?: Sent[];
  corrected?: Correction | null;
}

interface Sent {
  channel: string;
  sent_utc: string | null;
  delivered_utc: string | null;
  dropped_utc: string | null;
  problem: Reason | null;
  remark: Reason | null;
}

interface Correction { at_utc: string; patient_name: string; patient_id: string }

interface TakenBack { who: string; by_whom: string; at_utc: string }

interface Examination {
  examination_uid: string;
  test: boolean;
  state: SeriesState;
  needs_nobody: boolean;
  second: "confirmed" | "withdrawn" | null;
  remark: Reason | null;
  waiting: string[];
  urgency: Urgency | null;
  before?: Before | null;
  drawn?: Drawing | null;
  fetched: boolean;
  prior: Reason | null;
  last_slice_utc: string;
  series: Series[];
}

interface Volume { volume_ml: number; interval_ml: [number, number] }

interface Before {
  examination_uid: string;
  before: Volume | null;
  now: Volume | null;
  change: Reason;
}

type Urgency = "immediate" | "prompt" | "not_analysed" | "small" | "withdrawn" | "test";

type Waiting = Examination & { urgency: Urgency };

interface Listed { examinations: Examination[]; n_more: number }

interface Snapshot {
  at_utc: string;
  problem: Reason | null;
  agent: { engine: Engine; degraded: Reason | null; alerts_per_100: [number, number] | null } | null;
  selftest: { problem: Reason | null };
  low_disk_bytes: number | null;
  repeat_s: number[];
  call: string;
  n_more: number;
  today: Record<string, number> | null;
  examinations: Examination[];
  notices: { reason: Reason; at_utc: string }[];
}

interface Viewer extends HTMLElement {
  open(): Promise<void>;
  goTo(k: number): Promise<void>;
  readonly heightMm: number;
  readonly vertexMm: number | null;
  follow(mm: number): void;
  pick(picked: (voxel: [number, number, number]) => void): Promise<void>;
  draw(finding: number | null): Promise<import("../../agent/console/static/extent.js").Extent | null>;
  showDrawn(reading: number): Promise<void>;
  stopDrawing(): void;
}

interface ReadingLine {
  examination_uid: string;
  test: boolean;
  patient: Patient;
  state: SeriesState;
  last_slice_utc: string;
  subtypes: string[];
  total_volume_ml: number | null;
  midline_shift_mm: number | null;
  score: number | null;
  waits: boolean;
  n_findings: number;
  n_read: number;
  signed_by: string | null;
}

interface Judgement {
  judged: "correct" | "changed" | "not_blood" | "missed";
  finding: number | null;
  subtype: string | null;
  side: string | null;
  instead: string | null;
  voxel_kji: [number, number, number] | null;
  note: string;
}

interface ReadingMade { reading_id: number; judgement: Judgement; who: string; at_utc: string; volume_ml: number | null }

interface DraftSection { section: string; title: string; sentences: { text: string; reason: Reason | null }[] }

interface SignedReport { version: number; language: string; who: string; at_utc: string; sections: DraftSection[]; sent: Sent[] }

interface Drawing { who: string; at_utc: string; segments: { label: string; volume_ml: number }[] }

interface ExaminationRead {
  examination: Examination;
  standing: ReadingMade[];
  before: Before | null;
  draft: { language: string; sections: DraftSection[] } | null;
  signed: SignedReport[];
  drawings: Drawing[];
  may_not_read: Reason | null;
  may_not_sign: Reason | null;
}
