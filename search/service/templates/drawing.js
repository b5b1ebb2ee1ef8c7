// The three views of a recording, in the reader's colours: waveform, spectrogram, and probabilities as a ribbon.
import { ROWS } from "/sound.js";

const LEAST_SECONDS = 4; // that a view spans while a recording grows

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const classColour = (index) => colour(`--c${index % 10}`);

// Seconds from the left edge to the right one.
export const span = (recording) => Math.max(recording.live ? LEAST_SECONDS : 0.01, recording.seconds);

function prepared(canvas) {
  const scale = devicePixelRatio || 1, width = canvas.clientWidth, height = canvas.clientHeight;
  canvas.width = Math.round(width * scale);
  canvas.height = Math.round(height * scale);
  const pen = canvas.getContext("2d");
  pen.scale(scale, scale);
  return { pen, width, height };
}

export function drawWaveform(canvas, recording) {
  const { pen, width, height } = prepared(canvas), half = height / 2;
  const { low, high, hop } = recording.outline, perPixel = (span(recording) * recording.rate) / hop / width;
  const loudest = low.reduce((most, value, index) => Math.max(most, -value, high[index]), 0.02);
  const y = (value) => half - (value / loudest) * (half - 4);
  pen.fillStyle = colour("--blue");
  for (let x = 0; x * perPixel < low.length; x++) {
    const first = Math.floor(x * perPixel), last = Math.max(first + 1, Math.ceil((x + 1) * perPixel));
    const top = y(Math.max(...high.slice(first, last))), bottom = y(Math.min(...low.slice(first, last)));
    pen.fillRect(x, top, 1, Math.max(1, bottom - top));
  }
}

function ramp() {
  const steps = ["--s0", "--s1", "--s2", "--s3", "--s4"].map((name) => colour(name).match(/\w\w/g).map((hex) => parseInt(hex, 16)));
  return Array.from({ length: 256 }, (_, value) => {
    const place = (value / 255) * (steps.length - 1), step = Math.min(steps.length - 2, Math.floor(place));
    return [...steps[step].map((from, part) => from + (steps[step + 1][part] - from) * (place - step)), 255];
  });
}

// Columns are painted once, on a sheet that is laid into the view.
export function drawSpectrogram(canvas, recording) {
  const { pen, width, height } = prepared(canvas), { spectrogram } = recording;
  if (!spectrogram.columns.length) return;
  paintNew(spectrogram);
  const columns = spectrogram.columns.length, seconds = (columns * spectrogram.hop) / recording.rate;
  pen.drawImage(spectrogram.sheet, 0, 0, columns, ROWS, 0, 0, (width * seconds) / span(recording), height);
  pen.fillStyle = colour("--muted");
  pen.font = `11px ${getComputedStyle(document.body).fontFamily}`;
  pen.fillText("8 kHz", 6, 14);
}

function paintNew(spectrogram) {
  const { columns, painted } = spectrogram, added = columns.length - painted;
  if (!added) return;
  if (!spectrogram.sheet || spectrogram.sheet.width < columns.length) {
    const wider = new OffscreenCanvas(2 * columns.length, ROWS);
    if (spectrogram.sheet) wider.getContext("2d").drawImage(spectrogram.sheet, 0, 0);
    spectrogram.sheet = wider;
  }
  const image = new ImageData(added, ROWS), colours = ramp();
  for (let x = 0; x < added; x++) {
    columns[painted + x].forEach((value, row) => image.data.set(colours[value], 4 * ((ROWS - 1 - row) * added + x)));
  }
  spectrogram.sheet.getContext("2d").putImageData(image, painted, 0);
  spectrogram.painted = columns.length;
}

// Moments that follow one another without silence, each { seconds, values }.
function* stretches(moments, answers) {
  let stretch = [];
  for (const [index, moment] of moments.entries()) {
    const { seconds } = moment, values = answers.of(moment);
    if (Object.keys(values).length) {
      if (!stretch.length) stretch.push({ values, seconds: moments[index - 1]?.seconds ?? 0 });
      stretch.push({ values, seconds });
    } else if (stretch.length) {
      yield stretch;
      stretch = [];
    }
  }
  if (stretch.length) yield stretch;
}

// Bands as wide as each class is probable, each named where it is widest; where nothing is heard, there is none.
export function drawRibbon(canvas, recording, classes, answers) {
  const { pen, width, height } = prepared(canvas), x = (seconds) => (width * seconds) / span(recording);
  pen.font = `600 12px ${getComputedStyle(document.body).fontFamily}`;
  pen.textAlign = "center";
  pen.textBaseline = "middle";
  for (const stretch of stretches(recording.moments, answers)) {
    let upper = stretch.map(() => 0);
    const names = [];
    for (const [number, word] of classes.entries()) {
      const top = upper, lower = stretch.map(({ values }, index) => top[index] + values[word]);
      pen.fillStyle = classColour(number);
      pen.beginPath();
      stretch.forEach(({ seconds }, index) => pen.lineTo(x(seconds), top[index] * height));
      for (let index = stretch.length - 1; index >= 0; index--) pen.lineTo(x(stretch[index].seconds), lower[index] * height);
      pen.fill();
      names.push(() => nameBand(pen, word, inkOn(classColour(number)), stretch.map(({ seconds }, index) => ({ x: x(seconds), top: top[index] * height, bottom: lower[index] * height }))));
      upper = lower;
    }
    names.forEach((draw) => draw());
  }
}

// A line for each dimension, from the least of its span to the most, named at its first moment.
export function drawLines(canvas, recording, names, answers) {
  const { pen, width, height } = prepared(canvas), x = (seconds) => (width * seconds) / span(recording);
  const y = (name, value) => height - 8 - answers.share(name, value) * (height - 16);
  pen.font = `600 12px ${getComputedStyle(document.body).fontFamily}`;
  pen.lineWidth = 2.5;
  pen.lineJoin = "round";
  for (const [number, stretch] of [...stretches(recording.moments, answers)].entries()) {
    const taken = [];
    for (const [index, name] of names.entries()) {
      pen.strokeStyle = pen.fillStyle = classColour(index);
      pen.beginPath();
      stretch.forEach(({ seconds, values }) => pen.lineTo(x(seconds), y(name, values[name])));
      pen.stroke();
      if (number) continue;
      let place = Math.max(12, y(name, stretch[0].values[name]) - 6);
      while (taken.some((other) => Math.abs(other - place) < 14)) place += place + 20 < height ? 20 : -20 * (taken.length + 1);
      taken.push(place);
      pen.fillText(name, x(stretch[0].seconds) + 6, place);
    }
  }
}

// band: { x, top, bottom } from left to right; a name that has no room is left out.
function nameBand(pen, word, ink, band) {
  const half = pen.measureText(word).width / 2 + 4;
  let best = { room: 22 };
  for (const { x } of band) {
    if (x - half < band[0].x || x + half > band.at(-1).x) continue;
    const under = band.filter((place, index) => (band[index + 1] ?? place).x > x - half && (band[index - 1] ?? place).x < x + half);
    const top = Math.max(...under.map((place) => place.top)), bottom = Math.min(...under.map((place) => place.bottom));
    if (bottom - top > best.room) best = { room: bottom - top, x, y: (top + bottom) / 2 };
  }
  if (best.x === undefined) return;
  pen.fillStyle = ink;
  pen.fillText(word, best.x, best.y);
}

// Dark on light colours, white on dark ones.
function inkOn(hex) {
  const [red, green, blue] = hex.match(/\w\w/g).map((part) => parseInt(part, 16));
  return 0.299 * red + 0.587 * green + 0.114 * blue > 135 ? "#10151d" : "#ffffff";
}
