// Records or takes a file, sends it, and shows what the model says of it, as it comes and as a whole.
import { Outline, Spectrogram, decoded, int16, joined, openMicrophone, wav } from "/sound.js";
import { answersOf } from "/answers.js";
import { drawLines, drawRibbon, drawSpectrogram, drawWaveform, span } from "/drawing.js";
import { openStream, predict, sendWhole } from "/service.js";

const facts = JSON.parse(document.getElementById("facts").textContent);
const answers = answersOf(facts);
const drawMoments = facts.kind === "dimensions" ? drawLines : drawRibbon;
const at = (id) => document.getElementById(id);
const silent = (answer) => !Object.keys(answers.of(answer)).length;
let recording = null; // what is shown
let microphone = null;
let starting = false;
let playing = null;
let redrawn = 0;

class Recording {
  constructor(rate, live) {
    Object.assign(this, { rate, live, blocks: [], samples: 0, moments: [], spectrogram: new Spectrogram(rate), outline: new Outline(rate) });
  }

  get seconds() { return this.samples / this.rate; }

  add(block) {
    this.blocks.push(block);
    this.samples += block.length;
    this.outline.add(block);
    this.spectrogram.add(block);
  }
}

// -- what is shown ------------------------------------------------------------------------------------------------------

function say(text) { at("status").textContent = text; }

function complain(text) {
  at("problem").textContent = text;
  at("problem").hidden = !text;
}

function showShares(answer, of) {
  at("said-of").textContent = of;
  if (silent(answer)) {
    at("emotion").textContent = "Silence";
    return;
  }
  const [large, textContent] = answers.headline(answer);
  at("emotion").replaceChildren(large, Object.assign(document.createElement("small"), { textContent }));
  for (const [index, name] of facts.names.entries()) {
    const item = at("shares").children[index], value = answers.of(answer)[name];
    item.querySelector("i").style.width = `${100 * answers.share(name, value)}%`;
    item.querySelector(".share").textContent = answers.number(value);
  }
}

function draw() {
  redrawn = 0;
  if (!recording || at("result").hidden) return;
  drawWaveform(at("waveform"), recording);
  drawSpectrogram(at("spectrogram"), recording);
  drawMoments(at("ribbon"), recording, facts.names, answers);
  at("axis-end").textContent = `${span(recording).toFixed(1)} s`;
  at("clock").textContent = `${recording.seconds.toFixed(1)} s`;
}

function drawSoon() { redrawn ||= requestAnimationFrame(draw); }

function begin(rate, live) {
  recording = new Recording(rate, live);
  complain("");
  at("result").hidden = false;
  at("emotion").textContent = "…";
  at("play").disabled = at("moment").disabled = true;
  at("table-rows").replaceChildren();
  moveTo(0);
  return recording;
}

function finish() {
  const length = recording.seconds.toFixed(1);
  at("waveform").setAttribute("aria-label", `Waveform of ${length} s`);
  at("spectrogram").setAttribute("aria-label", `Spectrogram of ${length} s, up to 8 kHz`);
  at("ribbon").setAttribute("aria-label", `${answers.title}: ${answers.course(recording.moments)}`);
  Object.assign(at("moment"), { max: recording.seconds, disabled: false });
  at("play").disabled = false;
  at("table-rows").replaceChildren(...recording.moments.map((moment) => {
    const values = answers.of(moment);
    const cells = [moment.seconds.toFixed(2), ...facts.names.map((name) => (name in values ? answers.number(values[name]) : "silent"))];
    const row = document.createElement("tr");
    row.append(...cells.map((text) => Object.assign(document.createElement("td"), { textContent: text, className: "number" })));
    return row;
  }));
  draw();
}

function moveTo(seconds) {
  at("head").style.left = `${(100 * seconds) / (recording ? span(recording) : 1)}%`;
  at("moment").value = seconds;
  const moment = recording?.moments.find((each) => each.seconds >= seconds - 1e-6) ?? recording?.moments.at(-1);
  if (!moment) return;
  const text = `At ${Number(seconds).toFixed(2)} s: ${answers.brief(moment) || "silence"}`;
  at("at").textContent = text;
  at("moment").setAttribute("aria-valuetext", text);
}

// -- what is sent -------------------------------------------------------------------------------------------------------

// The stream of a recording, whose answers become its moments.
function follow(of) {
  const channel = openStream(of.rate, facts.hopSeconds, (moment) => {
    if (moment.error) complain(moment.error);
    else of.moments.push(moment);
    if (of.live && of === recording && !moment.error) showShares(moment, "So far");
    drawSoon();
  });
  channel.over.then(({ code }) => {
    const known = code === 1000 || of !== recording || !at("problem").hidden;
    if (!known) complain(`Nothing more is heard over time: the service refused the stream or ended it (code ${code}), as it does when too many are open. Try again in a moment.`);
  });
  return channel;
}

// Of a whole recording as it is known by then; keeps what the browser decoded for a file that the service cannot.
async function conclude(of, file, name) {
  let found = await predict(file, name);
  if (found.error && of.samples && !(file.type === "audio/wav" && name === "recording.wav")) {
    found = await predict(wav(joined(of.blocks), of.rate), "recording.wav");
  }
  if (of !== recording) return;
  if (found.error) {
    complain(found.error);
    say("");
    at("said-of").textContent = "No answer";
    at("emotion").textContent = "–";
  } else {
    showShares(found, `Of the whole ${found.seconds.toFixed(1)} s`);
    say(answers.sentence(found));
  }
}

async function takeFile(file) {
  if (microphone) return;
  if (file.size > facts.mostMib * 2 ** 20) return complain(`A file may have up to ${facts.mostMib} MiB; this one has ${(file.size / 2 ** 20).toFixed(0)} MiB.`);
  stopPlaying();
  say(`Listening to ${file.name} …`);
  const sound = await decoded(file), own = begin(sound?.rate ?? 16000, false);
  if (sound) own.add(sound.samples);
  draw();
  try {
    await Promise.all([conclude(own, file, file.name), sound && sendWhole(follow(own), sound.samples.subarray(0, facts.mostSeconds * own.rate))]);
  } catch {
    complain("The service does not answer; is it still running?");
    say("");
  }
  if (own !== recording) return;
  if (sound) finish();
  else say(`${at("status").textContent} Your browser cannot decode this file, so nothing is drawn.`);
}

// -- the microphone -----------------------------------------------------------------------------------------------------

async function startRecording() {
  if (!navigator.mediaDevices) return complain("A browser opens the microphone only for pages of this machine (localhost) or over https.");
  if (starting) return; // not disabled meanwhile: that would take the keyboard's focus away
  starting = true;
  stopPlaying();
  const blocks = [];
  let take = (block) => blocks.push(block);
  try {
    microphone = await openMicrophone((block) => take(block));
  } catch (error) {
    return complain(error.name === "NotAllowedError" ? "The browser was not allowed to open the microphone." : `No microphone: ${error.message}`);
  } finally {
    starting = false;
  }
  const own = begin(microphone.rate, true), channel = follow(own);
  microphone.channel = channel;
  take = (block) => {
    if (!own.live) return;
    if (own.seconds + block.length / own.rate > facts.mostSeconds) return void stopRecording();
    own.add(block);
    at("level").value = Math.sqrt(block.reduce((sum, sample) => sum + sample * sample, 0) / block.length) ** 0.5;
    if (!channel.closed) channel.send(int16(block).buffer);
    drawSoon();
  };
  blocks.forEach((block) => take(block));
  at("record").setAttribute("aria-pressed", "true");
  at("record-label").textContent = "Stop";
  say("Recording. The answer follows your voice.");
}

async function stopRecording() {
  const own = recording, { channel } = microphone, closing = microphone.close();
  microphone = null;
  own.live = false;
  at("record").setAttribute("aria-pressed", "false");
  at("record-label").textContent = "Record again";
  at("level").value = 0;
  say("Listening to the whole …");
  await closing;
  try {
    await channel.end();
    await conclude(own, wav(joined(own.blocks), own.rate), "recording.wav");
  } catch {
    complain("The service does not answer; is it still running?");
    say("");
  }
  if (own === recording) finish();
}

// -- listening ----------------------------------------------------------------------------------------------------------

function stopPlaying() {
  playing?.context.close();
  playing = null;
  at("play").textContent = "Play";
}

function play() {
  if (playing) return stopPlaying();
  const context = new AudioContext(), buffer = context.createBuffer(1, recording.samples, recording.rate);
  buffer.copyToChannel(joined(recording.blocks), 0);
  const source = new AudioBufferSourceNode(context, { buffer });
  const from = Number(at("moment").value) < recording.seconds - 0.05 ? Number(at("moment").value) : 0;
  source.connect(context.destination);
  source.start(0, from);
  const own = (playing = { context });
  source.onended = () => own === playing && stopPlaying();
  at("play").textContent = "Stop";
  const follow = () => {
    if (own !== playing) return;
    moveTo(Math.min(recording.seconds, from + context.currentTime));
    requestAnimationFrame(follow);
  };
  follow();
}

// -- the page -----------------------------------------------------------------------------------------------------------

function build() {
  at("table-head").append(...["s", ...facts.names].map((word) => Object.assign(document.createElement("th"), { scope: "col", textContent: word })));
  at("shares").append(...facts.names.map((word, index) => {
    const item = document.createElement("li"), bar = document.createElement("div"), fill = document.createElement("i");
    bar.className = "bar";
    fill.style.background = `var(--c${index % 10})`;
    fill.style.width = "0";
    bar.append(fill);
    const name = Object.assign(document.createElement("span"), { textContent: word });
    if (answers.note(word)) name.append(" ", Object.assign(document.createElement("small"), { textContent: answers.note(word) }));
    item.append(name, Object.assign(document.createElement("span"), { className: "share", textContent: "–" }), bar);
    return item;
  }));
}

function pointAt(event) {
  if (!recording || recording.live || at("moment").disabled) return;
  const box = at("stack").getBoundingClientRect();
  moveTo(Math.max(0, Math.min(1, (event.clientX - box.left) / box.width)) * recording.seconds);
}

build();
at("record").addEventListener("click", () => (microphone ? stopRecording() : startRecording()));
at("file").addEventListener("change", ({ target }) => {
  if (target.files.length) takeFile(target.files[0]);
  target.value = "";
});
for (const kind of ["dragover", "dragleave", "drop"]) {
  at("drop").addEventListener(kind, (event) => {
    event.preventDefault();
    at("drop").classList.toggle("over", kind === "dragover");
    if (kind === "drop" && event.dataTransfer.files.length) takeFile(event.dataTransfer.files[0]);
  });
}
at("play").addEventListener("click", play);
at("moment").addEventListener("input", ({ target }) => moveTo(Number(target.value)));
at("stack").addEventListener("pointermove", (event) => !playing && pointAt(event));
new ResizeObserver(drawSoon).observe(at("stack"));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  recording?.spectrogram.repaint();
  drawSoon();
});
document.documentElement.dataset.ready = "yes";
