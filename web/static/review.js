// Review. Loads the next photos ahead, and sends answers in the background. The browser keeps unsent answers.
import { Outbox } from "./outbox.js";
import { Letters } from "./review_keys.js";
import { BrowserTab, randomId } from "./tab.js";

const { root, send, toast } = window.hangtag;
const $ = (id) => document.getElementById(id);
const review = $("review").dataset;
const job = encodeURIComponent(review.job);
const doneKey = `hangtag.done.${review.audit}.${review.job}`;
const AHEAD = 12;
const GRID = 40;
const DONE = 200;
const KEPT = 20; // of these, in the tab's storage
const LARGE = 3; // guesses with example photos, if all classes are shown
const PLACES = 9; // keys 1 to 9
const RENEW_MS = 60_000;
const LOOK_AGAIN_MS = 5000;
const BY_TOUCH = matchMedia("(max-width: 60rem), (pointer: coarse)").matches; // the page shows no keys
const REMARKS = { not_a_product: "not a product", more_than_one: "more than one", skip: "skipped; the photo comes again at the end" };

let reviewer = review.reviewer;
let ahead = []; // loaded questions; the first is on the screen
let done = JSON.parse(sessionStorage[doneKey] ?? "[]"); // lists of [question, answer], newest last; a grid adds one list
let classes = [];
let tiles = []; // questions in the grid
let fetching = false;
let exhausted = false;
let elsewhere = 0; // photos that are open on other pages
let finished = true; // whether the job is finished; a running job may send more photos
let gridOn = false;
let labelBefore = ""; // the class filter from before the grid
let round = 0; // replies to an earlier round are dropped
let turn = Promise.resolve();

/** A path in the API of this review. */
const path = (name, query = {}) => `/v1/jobs/${job}/${name}?${new URLSearchParams({ audit: review.audit, ...query })}`;
const choice = (label = $("label").value) => ({ order: $("order").value, second: $("second").value, ...(label && { label }) });

/** One request after the other, so that the last progress is the newest. */
function inTurn(ask) {
  const asked = turn.then(ask);
  turn = asked.catch(() => {});
  return asked;
}

/** Release a tab's questions to other reviewers. */
const letGo = (tab) => fetch(root + path("questions", { n: 0, tab, fresh: true }), { method: "POST", keepalive: true });

/** Keep the last answers for undo after a reload, if the browser has room. */
function keepDone() {
  try {
    sessionStorage[doneKey] = JSON.stringify(done.slice(-KEPT), (key, value) => (key === "picture" ? undefined : value));
  } catch {
    sessionStorage.removeItem(doneKey);
  }
}

const tab = new BrowserTab(`hangtag.tab.${review.audit}.${review.job}.`, letGo);
const outbox = new Outbox(`hangtag.answers.${review.audit}.${review.job}`, deliver, showSaved);

// ---- Asking

async function refill() {
  if (gridOn || fetching || exhausted || ahead.length >= AHEAD) return;
  fetching = true;
  const mine = round;
  try {
    const found = await askFor(AHEAD + 1 - ahead.length);
    if (mine !== round) return;
    const wasEmpty = ahead.length === 0;
    ahead.push(...found.filter(isNew).map(withPicture));
    exhausted = found.length === 0 || ahead.length === 0;
    if (wasEmpty) show();
  } catch (error) {
    const away = error instanceof TypeError;
    if (ahead.length === 0) $("question").textContent = away ? "The server does not answer; trying again …" : error.message;
    setTimeout(refill, 2000);
  } finally {
    if (mine === round) fetching = false;
  }
}

/** A page without questions releases its leases, because a reply with questions may be lost. */
async function askFor(n, label) {
  const query = { n, tab: tab.id, fresh: n > 0 && ahead.length === 0 && tiles.length === 0, ...choice(label) };
  const answer = await inTurn(async () => (await send(path("questions", query), { method: "POST" })).json());
  finished = answer.finished;
  elsewhere = answer.elsewhere;
  for (const button of document.querySelectorAll("[data-do=apply]")) button.hidden = !finished;
  showProgress(answer.progress);
  return answer.questions;
}

/** Whether a question is neither on this page nor answered in the queue. */
const isNew = ({ sha256 }) => ![...ahead, ...tiles].some((question) => question.sha256 === sha256) && !outbox.holds(sha256);

function withPicture(question) {
  question.picture = pictureOf(question, stageSide());
  question.picture.decode().catch(() => {});
  return question;
}

function pictureOf(question, side) {
  const picture = new Image();
  picture.decoding = "sync"; // the photo is decoded ahead, and painted together with the page
  picture.alt = `Photo of row ${question.row}`;
  picture.src = `${root}${question.photo}&side=${side}`;
  return picture;
}

function stageSide() {
  const { width, height } = $("photo").getBoundingClientRect();
  return Math.max(width, height) * Math.min(devicePixelRatio, 2) <= 900 ? 800 : 1600;
}

function lookAgain() {
  exhausted = false;
  return refill();
}

function newRound() {
  round += 1;
  fetching = false;
  ahead = [];
}

/** Begin again after a change of order, class or name. */
function restart() {
  newRound();
  exhausted = false;
  tiles = [];
  if (gridOn) return showGrid();
  show();
  return refill();
}

// ---- Showing

function show() {
  const question = ahead[0];
  const over = !question && exhausted;
  $("single").classList.toggle("hidden", gridOn || over);
  $("grid").classList.toggle("hidden", !gridOn);
  $("end").classList.toggle("hidden", gridOn || !over);
  if (over) showEnd();
  showLast();
  if (!question) {
    $("photo").replaceChildren();
    $("question").textContent = over ? "" : "Loading …";
    return;
  }
  $("photo").replaceChildren(question.picture);
  $("caption").textContent = captionOf(question);
  if (question.undone) $("caption").append(" · ", element("b", `Undone: ${question.undone}`));
  $("question").textContent = `Is it ${named(question.label)}?`;
  $("why").textContent = whyOf(question);
  $("confirm").replaceChildren(element("span", `Yes, ${question.label} `), key("Enter"));
  showAgain(question);
  showGuesses(question);
  showNote(question);
  $("cells").replaceChildren(...question.cells.flatMap(([name, value]) => [element("dt", name), element("dd", value)]));
}

const captionOf = ({ row, rows, products }) =>
  `Row ${row.toLocaleString()}` +
  (rows > 1 ? ` · the answer counts for ${rows.toLocaleString()} rows` : "") +
  (products > 1 ? ` of ${products.toLocaleString()} products` : "");

const whyOf = ({ reason, confidence, catalogue_class, catalogue_column, label }) =>
  `The model is ${percent(confidence)} sure. ${Number(review.audit) ? "It was" : "Reason for review:"} ${reason}.` +
  (catalogue_class && catalogue_class !== label ? ` ${placeOf(catalogue_column)} says ${named(catalogue_class)}.` : "");

const placeOf = (column) => (column === "folder" ? "The photo’s folder" : `The column ${column}`);

const named = (label) => `“${label}”`;
const percent = (share) => (share === null ? "–" : share >= 0.9995 && share < 1 ? ">99.9%" : `${(100 * share).toFixed(share > 0.995 && share < 1 ? 1 : 0)}%`);

function showAgain(question) {
  $("again").classList.toggle("hidden", question.again.length === 0);
  const heading = element("li", "Reviewers do not agree; please look again.");
  $("again").replaceChildren(heading, ...question.again.map((one) => element("li", `${one.reviewer}: ${one.says}`)));
}

/** The likeliest classes. All classes, if there are enough keys. */
function offered({ guesses }) {
  const known = new Set(guesses.map(({ label }) => label));
  const others = hasKeys() ? classes.filter(({ label }) => !known.has(label)) : [];
  return [...guesses, ...others.map(({ label }) => ({ label, confidence: null }))].slice(0, PLACES);
}

const hasKeys = () => classes.length <= PLACES;

function showGuesses(question) {
  const rows = offered(question).map((guess, place) => (hasKeys() && place >= LARGE ? briefGuess(guess, place) : largeGuess(guess, place)));
  $("guesses").replaceChildren(...rows);
}

function largeGuess(guess, place) {
  const row = guessRow("guess-row", guess, place);
  const meter = row.querySelector("meter");
  row.querySelector("button").classList.toggle("first", place === 0);
  row.querySelector(".percent").textContent = percent(guess.confidence);
  meter.value = guess.confidence ?? 0;
  meter.classList.toggle("hidden", guess.confidence === null);
  meter.setAttribute("aria-label", `Confidence of ${guess.label}`);
  row.querySelector(".examples").replaceChildren(...examplesOf(guess.label));
  return row;
}

const briefGuess = (guess, place) => guessRow("brief-guess", guess, place);

function guessRow(template, guess, place) {
  const row = $(template).content.firstElementChild.cloneNode(true);
  row.querySelector("button").dataset.place = place;
  row.querySelector("kbd").textContent = place + 1;
  row.querySelector(".name").textContent = guess.label;
  return row;
}

function examplesOf(label) {
  const known = classes.find((one) => one.label === label);
  return (known?.pictures ?? []).map((picture) => picture.cloneNode());
}

const wordsOfAnswer = ({ kind, label }) => REMARKS[kind] ?? label;

/** The last answer, for undo. */
function showLast() {
  const last = done.at(-1) ?? [];
  const [, answer] = last[0] ?? [];
  const times = last.length > 1 ? `${last.length} times ` : "";
  $("last").textContent = answer ? `Your last answer: ${times}${wordsOfAnswer(answer)}` : "";
}

function showNote(question) {
  $("note").classList.toggle("hidden", !question.note);
  $("note").textContent = question.note ? `Note: ${question.note}` : "";
}

function showProgress(progress) {
  $("done").max = Math.max(progress.questions, 1);
  $("done").value = progress.done;
  const rows = progress.rows > progress.questions ? ` (${progress.rows_done.toLocaleString()} of ${numberOf(progress.rows, "row")})` : "";
  const [count, noun] = numberOf(progress.questions, "photo").split(" ");
  const parted = [element("span", ` ${noun}`), element("span", rows)]; // a narrow page shows only the numbers of photos
  $("counts").replaceChildren(`${progress.done.toLocaleString()} of ${count}`, ...parted);
  $("counts").title = $("counts").textContent;
  const parts = [`You have answered ${progress.mine.toLocaleString()}`];
  if (progress.an_hour) parts.push(`${progress.an_hour.toLocaleString()} an hour`, `${duration(progress.seconds_left)} left`);
  if (progress.right !== null) parts.push(`${percent(progress.right)} of the guesses were right`);
  if (progress.twice) parts.push(`two reviewers agree on ${percent(progress.agreed / progress.twice)} of ${numberOf(progress.twice, "photo")}`);
  if (elsewhere) parts.push(`${numberOf(elsewhere, "photo")} open on another page`);
  if (progress.disputed) parts.push(`${progress.disputed} in dispute`);
  $("speed").textContent = `${parts.join(" · ")}.`;
  showProgress.last = progress;
}

const elsewhereWords = () =>
  `${numberOf(elsewhere, "photo")} ${elsewhere === 1 ? "is" : "are"} open on another page. Unanswered photos come here when that page is closed, or five minutes after it crashed.`;

const numberOf = (count, noun) => `${count.toLocaleString()} ${noun}${count === 1 ? "" : "s"}`;

function duration(seconds) {
  const minutes = Math.ceil(seconds / 60);
  return minutes < 90 ? `${minutes} min` : `${Math.round(minutes / 60)} h`;
}

function showEnd() {
  const { mine = 0, done: settled = 0, questions = 0, right = null } = showProgress.last ?? {};
  const saving = outbox.size > 0; // the counts are shown after saving
  const others = saving ? 0 : (showProgress.last?.left ?? 0);
  const nothing = Number(review.audit) ? "No row of this job was labeled" : "No photo of this job needs a review";
  const over = questions ? leftNothing() : nothing;
  $("end-title").textContent = saving ? "Saving your last answers" : others ? `${numberOf(others, "photo")} left, open on another page` : finished ? over : "This job is not finished yet";
  clearTimeout(showEnd.timer);
  if (others || !finished) showEnd.timer = setTimeout(() => $("end").classList.contains("hidden") || gridOn || lookAgain(), LOOK_AGAIN_MS);
  const guesses = right === null ? "" : ` ${percent(right)} of the guesses were right.`;
  $("end-again").textContent = isNarrowed() ? "Show the other photos" : "Check for more";
  const count = questions ? `${settled.toLocaleString()} of ${numberOf(questions, "photo")} ${questions === 1 ? "is" : "are"} done, ${mine.toLocaleString()} by you.${guesses}` : "";
  const next = others ? "Photos of a closed page come here within five minutes." : finished ? "The corrections go into a copy of the result." : "More photos may come while the job runs. Apply the corrections when it is finished.";
  $("end-text").textContent = `${count} ${next}`;
}

const isNarrowed = () => $("label").value !== "" || $("order").value === "contradicted";
const leftNothing = () =>
  $("label").value ? `No ${named($("label").value)} is left to review` : isNarrowed() ? "No suspected label error is left" : "You have answered all questions";

function seeOthers() {
  $("label").value = "";
  if ($("order").value === "contradicted") $("order").selectedIndex = 0;
  return restart();
}

function showSaved({ waiting, away, problem }) {
  const place = $("saved");
  place.className = away ? "away" : waiting ? "waiting" : "";
  place.textContent = waiting ? `${waiting} not saved yet` : "All saved";
  $("trouble").hidden = !away;
  $("trouble").textContent = `${problem || "The server does not answer."} This browser keeps your answers, and sends them again.`;
  if (!waiting && !$("end").classList.contains("hidden")) lookAgain();
}

// ---- Answering

async function deliver(answers) {
  const body = JSON.stringify({ answers: answers.map(({ by, ...answer }) => answer), reviewer: answers[0].by || null, tab: tab.id });
  const stored = await inTurn(() => outbox.post(root + path("answers", choice()), body));
  showProgress(stored.progress);
  for (const [id, why] of Object.entries(stored.refused)) comeBack(id, why);
  return [...stored.stored, ...Object.keys(stored.refused)];
}

/** Show why an answer was refused, and show its question again. */
function comeBack(id, why) {
  toast(why);
  const step = done.find((pairs) => pairs.some(([, answer]) => answer.id === id));
  if (!step) return;
  const [[question]] = step.splice(step.findIndex(([, answer]) => answer.id === id), 1);
  done = done.filter((pairs) => pairs.length);
  keepDone();
  ahead.splice(1, 0, question.picture ? question : withPicture(question));
}

function give(kind, more = {}) {
  const question = ahead.shift();
  if (!question) return;
  say([question], kind, more);
  if (ahead.length === 0) exhausted = false; // the server may hold questions whose reply was lost
  show();
  afterPaint(refill);
}

/** Paint the next photo before any other work. */
function afterPaint(act) {
  requestAnimationFrame(() => setTimeout(act, 30));
}

/** The same answer to several questions. One undo removes all of them. */
function say(questions, kind, more = {}) {
  const step = questions.map((question) => [question, { id: randomId(), sha256: question.sha256, kind, by: reviewer, ...more }]);
  done.push(step);
  if (done.length > DONE) done.shift();
  for (const [, answer] of step) outbox.keepOne(answer);
  keepDone();
  afterPaint(() => outbox.flush());
}

function undo() {
  const last = done.pop();
  if (!last) return toast("There is nothing to undo.");
  keepDone();
  for (const [{ sha256 }, { id }] of last) if (!outbox.takeBack(id)) outbox.push({ id: randomId(), sha256, kind: "undo", by: reviewer });
  const questions = last.map(([question, answer]) => Object.assign(question, { undone: wordsOfAnswer(answer) }));
  if (last.inGrid) return backToGrid(questions, last[0][1].label);
  ahead.unshift(...questions.map((question) => (question.picture ? question : withPicture(question))));
  if (gridOn) toggleGrid(false);
  show();
}

const actions = {
  confirm: () => ahead[0] && give("label", { label: ahead[0].label }),
  not_a_product: () => give("not_a_product"),
  more_than_one: () => give("more_than_one"),
  skip: () => give("skip"),
  undo,
  search: () => openSearch(""),
  note: () => openNote(),
  apply: () => applyToResult().catch((error) => toast(error.message)),
};

async function applyToResult() {
  await outbox.settled();
  const done = await outbox.post(`${root}/v1/jobs/${job}/corrected`, "{}");
  const counts = {
    "Label changed": done.changed,
    "Label confirmed": done.confirmed,
    "Not a product, or more than one": done.remarked,
    "Reviewers do not agree": done.in_conflict,
    "Still to review": Object.values(done.to_review).reduce((sum, rows) => sum + rows, 0),
  };
  const rows = Object.entries(counts).map(([name, rows]) => [name, rows.toLocaleString()]);
  if (done.audit) rows.push(["Right labels in the audit", auditWords(done.audit)]);
  $("applied-title").textContent = `Wrote ${done.output}`;
  $("applied-counts").replaceChildren(
    ...rows.flatMap(([name, value]) => [element("dt", name), element("dd", value)]),
  );
  $("applied").showModal();
}

const auditWords = ({ right, answered, low, high, promised }) =>
  `${right.toLocaleString()} of ${answered.toLocaleString()} rows` +
  (answered ? ` (${percent(right / answered)}; 95% interval ${percent(low)} to ${percent(high)})` : "") +
  (promised === null ? "" : `; ${percent(promised)} promised`);

// ---- Search in all classes

let matches = [];
let chosen = 0;
let sure = false; // whether Enter adds a new class

function openSearch(text) {
  if (!ahead[0]) return;
  $("query").value = text;
  $("search").showModal();
  search();
}

function search() {
  const wanted = $("query").value.trim().toLowerCase();
  sure = false;
  chosen = 0;
  matches = ranked(wanted).slice(0, 12).map((one) => ({ ...one, isNew: false }));
  const exact = matches.some((one) => one.label.toLowerCase() === wanted);
  const alike = nearest(wanted);
  if (wanted && !exact) matches.push({ label: $("query").value.trim(), isNew: true, alike, pictures: [] });
  if (alike && !matches.some((one) => one.label === alike.label)) matches.push(alike);
  $("found").replaceChildren(...matches.map(option));
  choose(0);
}

function ranked(wanted) {
  const rank = (label) => {
    const text = label.toLowerCase();
    if (text.startsWith(wanted)) return 0;
    if (wordsOf(text).some((words) => words.startsWith(wanted))) return 1;
    if (text.includes(wanted)) return 2;
    return [...wanted].reduce((from, letter) => (from < 0 ? -1 : text.indexOf(letter, from) + 1 || -1), 0) < 0 ? -1 : 3;
  };
  return classes
    .map((one) => ({ ...one, rank: rank(one.label) }))
    .filter((one) => one.rank >= 0)
    .sort((one, other) => one.rank - other.rank || one.label.localeCompare(other.label));
}

/** The parts of a name that begin at each of its words. */
function wordsOf(label) {
  const text = label.toLowerCase();
  return [text, ...[...text.matchAll(/[\s_/-]+/g)].map((gap) => text.slice(gap.index + gap[0].length))];
}

/** The class that a misspelt name may mean: at most one wrong letter in every four. */
function nearest(wanted) {
  const [best] = classes.map((one) => [edits(wanted, one.label.toLowerCase()), one]).sort(([one], [other]) => one - other);
  return best && best[0] <= Math.max(1, wanted.length / 4) && wanted.length > 2 ? best[1] : undefined;
}

/** The number of letters to add, remove or change (Levenshtein). */
function edits(one, other) {
  let row = Array.from({ length: other.length + 1 }, (_, at) => at);
  for (let n = 1; n <= one.length; n++) {
    const next = [n];
    for (let m = 1; m <= other.length; m++) next[m] = Math.min(row[m] + 1, next[m - 1] + 1, row[m - 1] + (one[n - 1] !== other[m - 1]));
    row = next;
  }
  return row.at(-1);
}

function option(match, place) {
  const item = element("li", "");
  item.dir = "auto";
  item.id = `option-${place}`;
  item.setAttribute("role", "option");
  item.append(...match.pictures.slice(0, 1).map((picture) => picture.cloneNode()), match.isNew ? `New class ${named(match.label)}` : match.label);
  item.addEventListener("click", () => (place === chosen || choose(place), takeMatch()));
  return item;
}

function choose(place) {
  if (matches.length === 0) return;
  chosen = (place + matches.length) % matches.length;
  sure = false;
  [...$("found").children].forEach((item, at) => item.setAttribute("aria-selected", at === chosen));
  $("query").setAttribute("aria-activedescendant", `option-${chosen}`);
  $("found").children[chosen].scrollIntoView({ block: "nearest" });
  const { isNew, alike } = matches[chosen];
  $("search-hint").textContent = isNew ? `No class has this name.${meant(alike)}` : BY_TOUCH ? "" : "Enter selects, arrow keys move.";
}

const meant = (alike) => (alike ? ` Do you mean ${named(alike.label)}?` : "");

function takeMatch() {
  const match = matches[chosen];
  if (!match) return;
  if (match.isNew && !sure) {
    sure = true;
    $("search-hint").textContent = `${BY_TOUCH ? "Tap it" : "Press Enter"} again to add the new class ${named(match.label)}.${meant(match.alike)}`;
    return;
  }
  $("search").close();
  letters.note("Enter");
  if (match.isNew) classes.push({ label: match.label, pictures: [], doubtful: 0 });
  give("label", { label: match.label, new: match.isNew });
}

$("query").addEventListener("input", search);
$("query").addEventListener("keydown", (event) => {
  if (event.key === "ArrowDown" || event.key === "ArrowUp") {
    event.preventDefault();
    choose(chosen + (event.key === "ArrowDown" ? 1 : -1));
  } else if (event.key === "Enter" && !event.isComposing) {
    event.preventDefault();
    takeMatch();
  }
});

// ---- Notes

function openNote() {
  if (!ahead[0]) return;
  $("note-text").value = ahead[0].note;
  $("note-dialog").returnValue = "";
  scrollTo(0, 0); // to the photo
  $("note-dialog").showModal();
}

$("note-text").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) $("note-dialog").close("keep");
});
$("note-dialog").addEventListener("close", () => {
  const [question] = ahead;
  const note = $("note-text").value.trim();
  if ($("note-dialog").returnValue !== "keep" || !question || note === question.note) return;
  if (!note) return toast("A stored note cannot be deleted; replace it with another note.");
  question.note = note;
  outbox.push({ id: randomId(), sha256: question.sha256, kind: "note", note, by: reviewer });
  showNote(question);
});

// ---- Grid

async function showGrid(open) {
  if (!$("label").value) $("label").value = open?.label ?? commonest();
  const label = $("label").value;
  $("grid-question").textContent = "Loading …";
  $("tiles").replaceChildren();
  show();
  try {
    tiles = (await askFor(GRID, label)).filter(isNew);
  } catch (error) {
    toast(error.message);
    tiles = [];
  }
  if (!gridOn) return;
  if (tiles.length === 0) {
    toast(elsewhere ? `No photo of ${label} is free: ${elsewhereWords()}` : `No photo of ${label} is left to review.`);
    return toggleGrid(false);
  }
  showTiles();
}

function showTiles() {
  const label = $("label").value;
  $("grid-question").textContent = tiles.length === 1 ? `Is this ${named(label)}?` : `Are all these ${tiles.length} ${named(label)}? Mark the others.`;
  $("tiles").replaceChildren(...tiles.map(tileOf));
  countTiles();
  $("tiles").querySelector("button").focus();
}

const commonest = () => classes.reduce((best, one) => (one.doubtful > best.doubtful ? one : best), { label: "", doubtful: -1 }).label;

function tileOf(question, place) {
  const tile = $("tile").content.firstElementChild.cloneNode(true);
  const button = tile.querySelector("button");
  const picture = pictureOf(question, 200);
  button.tabIndex = place === 0 ? 0 : -1;
  button.title = whyOf(question);
  button.querySelector(".picture").append(picture);
  button.addEventListener("click", () => mark(button));
  return tile;
}

function mark(button) {
  button.setAttribute("aria-pressed", button.getAttribute("aria-pressed") !== "true");
  countTiles();
}

const tileButtons = () => [...$("tiles").querySelectorAll("button")];
const isMarked = (button) => button.getAttribute("aria-pressed") === "true";

function countTiles() {
  const wrong = tileButtons().filter(isMarked).length;
  const rest = tiles.length - wrong;
  const words = `Confirm ${rest} as ${$("label").value}${wrong ? `, look at ${wrong}` : ""} `;
  $("grid-confirm").replaceChildren(element("span", words), key("Enter"));
}

/** Show the marked photos one by one, or the next grid if there are none. */
async function confirmGrid() {
  if (tiles.length === 0) return; // still loading
  const marked = tileButtons().map(isMarked);
  const wrong = tiles.filter((_, place) => marked[place]);
  const right = tiles.filter((_, place) => !marked[place]);
  if (right.length) {
    say(right, "label", { label: $("label").value });
    done.at(-1).inGrid = true;
  }
  tiles = [];
  if (wrong.length) {
    ahead.unshift(...wrong.map(withPicture));
    return toggleGrid(false);
  }
  await outbox.settled();
  await showGrid();
}

/** Show confirmed photos again, together. */
function backToGrid(questions, label) {
  if (!gridOn) labelBefore = $("label").value;
  else if ($("label").value !== label) tiles = [];
  $("label").value = label;
  tiles.unshift(...questions);
  gridOn = true;
  showViews();
  show();
  showTiles();
}

function moveInGrid(step) {
  const buttons = tileButtons();
  const at = Math.max(buttons.indexOf(document.activeElement), 0);
  const next = buttons[Math.min(Math.max(at + step, 0), buttons.length - 1)];
  buttons.forEach((button) => (button.tabIndex = button === next ? 0 : -1));
  next?.focus();
}

function columns() {
  return getComputedStyle($("tiles")).gridTemplateColumns.split(" ").length;
}

function toggleGrid(on) {
  const [open] = ahead;
  gridOn = on;
  if (on) {
    newRound();
    labelBefore = $("label").value;
  } else $("label").value = labelBefore;
  showViews();
  if (on) return showGrid(open);
  tiles = [];
  show();
  return lookAgain();
}

function showViews() {
  $("grid-view").setAttribute("aria-pressed", gridOn);
  $("single-view").setAttribute("aria-pressed", !gridOn);
}

// ---- Keys and clicks

const GRID_KEYS = { ArrowRight: () => 1, ArrowLeft: () => -1, ArrowDown: columns, ArrowUp: () => -columns() };
const SHORTCUTS = { n: "not_a_product", m: "more_than_one", s: "skip", u: "undo", c: "note" };

const letters = new Letters({
  shortcuts: { ...Object.fromEntries(Object.entries(SHORTCUTS).map(([letter, name]) => [letter, actions[name]])), g: () => toggleGrid(!gridOn) },
  waits: () => !gridOn,
  begins: (text) => !gridOn && classes.some(({ label }) => wordsOf(label).some((words) => words.startsWith(text))),
  shown: () => ahead[0],
  isCommand: (key) => /^(Enter|[1-9/? ])$/.test(key) || (gridOn && key === "x"),
  search: (text) => openSearch(text),
  tell: () => toast("The keys you pressed while the photo changed were ignored. Undo (u), or type the name again."),
});

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  if (document.querySelector("dialog[open]") || event.target.closest("input, select, textarea, .menu[open]")) return;
  if (!event.repeat && letters.takes(event.key)) return event.preventDefault();
  if (event.key === "?") return taken(event, () => $("keys").showModal());
  if (event.key === "g") return taken(event, letters.shortcuts.g);
  if (gridOn) return gridKey(event);
  const isButton = event.target.closest("button, a, summary");
  if ((event.key === "Enter" || event.key === " ") && !isButton) return taken(event, actions.confirm);
  if (/^[1-9]$/.test(event.key)) return taken(event, () => pick(Number(event.key) - 1));
  if (event.key === "/") return taken(event, actions.search);
  if (letters.shortcuts[event.key]) return taken(event, letters.shortcuts[event.key]);
  if (/^\p{L}$/u.test(event.key)) return taken(event, () => openSearch(event.key));
});

function gridKey(event) {
  if (GRID_KEYS[event.key]) return taken(event, () => moveInGrid(GRID_KEYS[event.key]()));
  const tile = event.target.closest(".tile-button");
  if (event.key === "u") return taken(event, undo);
  if ((event.key === "x" || event.key === " ") && tile) return taken(event, () => mark(tile));
  if (event.key === "Enter" && !event.target.closest(".head")) return taken(event, confirmGrid);
}

function taken(event, act) {
  event.preventDefault();
  if (!event.repeat) act();
}

function pick(place) {
  const guess = ahead[0] && offered(ahead[0])[place];
  if (guess) give("label", { label: guess.label });
}

$("guesses").addEventListener("click", (event) => {
  const button = event.target.closest(".guess");
  if (button) afterClick(() => pick(Number(button.dataset.place)));
});
for (const button of document.querySelectorAll("[data-do]")) {
  button.addEventListener("click", () => afterClick(actions[button.dataset.do]));
}

/** Move the focus to the photo, so that Enter does not press the same button again. */
function afterClick(act) {
  act();
  if (!document.querySelector("dialog[open]")) $("stage").focus({ preventScroll: true });
}

$("grid-confirm").addEventListener("click", confirmGrid);
$("grid-view").addEventListener("click", () => toggleGrid(true));
$("single-view").addEventListener("click", () => toggleGrid(false));
$("keys-button").addEventListener("click", () => $("keys").showModal());
$("end-again").addEventListener("click", () => (isNarrowed() ? seeOthers() : restart()));
for (const id of ["order", "label", "second"]) {
  $(id).addEventListener("change", () => {
    $(id).blur();
    restart();
  });
}
const menu = document.querySelector(".menu");
menu.addEventListener("toggle", () => menu.open || $("stage").focus({ preventScroll: true }));
document.addEventListener("click", (event) => (menu.open &&= menu.contains(event.target)));
document.addEventListener("keydown", (event) => event.key === "Escape" && (menu.open = false));

$("name-form").addEventListener("submit", (event) => {
  event.preventDefault();
  rename($("name").value).then(restart, (error) => toast(error.message));
});

async function rename(name) {
  await send("/v1/reviewer", { method: "PUT", body: JSON.stringify({ name }), headers: { "Content-Type": "application/json" } });
  $("name").value = reviewer = name.trim();
  menu.open = false;
}

async function askName() {
  $("name-dialog").addEventListener("cancel", (event) => event.preventDefault());
  $("name-dialog").showModal();
  await new Promise((resolve) => $("name-dialog").addEventListener("close", resolve, { once: true }));
  await rename($("first-name").value);
}

// ---- Beginning

function element(name, text) {
  const made = document.createElement(name);
  made.textContent = text;
  return made;
}

function key(name) {
  return element("kbd", name);
}

async function loadClasses() {
  const found = await (await send(path("classes"))).json();
  classes = found.classes.map((one) => ({ ...one, pictures: one.examples.map((path) => example(path, one.label)) }));
  const doubtful = classes.filter((one) => one.doubtful);
  $("label").append(...doubtful.map((one) => new Option(`${one.label} (${one.doubtful.toLocaleString()} in all)`, one.label)));
  const errors = $("order").querySelector("[value=contradicted]");
  if (!errors) return; // an audit has its own order
  errors.disabled = !found.catalogue_column;
  errors.textContent = found.catalogue_column ? `Suspected label errors (by ${found.catalogue_column})` : "Suspected label errors: the catalogue has no class column";
}

function example(path, label) {
  const picture = new Image();
  picture.loading = "lazy";
  picture.alt = "";
  picture.title = `labeled as ${label}`;
  picture.src = `${root}${path}?side=96`;
  return picture;
}

async function begin() {
  if (!reviewer) await askName();
  outbox.begin();
  await tab.begin();
  await loadClasses();
  await refill();
  setInterval(() => askFor(0).catch(() => {}), RENEW_MS);
  addEventListener("pagehide", () => tab.end());
  addEventListener("beforeunload", (event) => outbox.size && event.preventDefault());
}

begin().catch((error) => {
  $("question").textContent = error.message;
});
