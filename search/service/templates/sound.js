// Sound as numbers: microphone, files, WAV, and the spectrum of what is heard.

export const ROWS = 96; // of the spectrogram, mel-spaced
const FFT = 1024;
const TOP_HZ = 8000;
const FLOOR_DB = -85, CEILING_DB = -15; // of full scale, what the colours span
const DECODED_HZ = 48000;

// Opens the microphone as it is, without what improves telephone calls. onBlock gets Float32Arrays.
export async function openMicrophone(onBlock) {
  const stream = await navigator.mediaDevices.getUserMedia({
    audio: { channelCount: 1, echoCancellation: false, noiseSuppression: false, autoGainControl: false },
  });
  const context = new AudioContext();
  try {
    await context.audioWorklet.addModule("/recorder.js");
  } catch (error) {
    stream.getTracks().forEach((track) => track.stop());
    throw error;
  }
  const source = context.createMediaStreamSource(stream), node = new AudioWorkletNode(context, "recorder");
  node.port.onmessage = ({ data }) => onBlock(data);
  source.connect(node);
  await context.resume();
  return {
    rate: context.sampleRate,
    async close() {
      node.port.onmessage = null;
      stream.getTracks().forEach((track) => track.stop());
      await context.close();
    },
  };
}

// A file's channels, averaged; null where the browser cannot decode it.
export async function decoded(file) {
  try {
    const buffer = await new OfflineAudioContext(1, 1, DECODED_HZ).decodeAudioData(await file.arrayBuffer());
    const mono = new Float32Array(buffer.length);
    for (let channel = 0; channel < buffer.numberOfChannels; channel++) {
      buffer.getChannelData(channel).forEach((sample, index) => { mono[index] += sample / buffer.numberOfChannels; });
    }
    return { samples: mono, rate: buffer.sampleRate };
  } catch {
    return null;
  }
}

export function int16(samples) {
  return Int16Array.from(samples, (sample) => Math.max(-32768, Math.min(32767, Math.round(sample * 32768))));
}

export function joined(blocks) {
  const whole = new Float32Array(blocks.reduce((sum, block) => sum + block.length, 0));
  let at = 0;
  for (const block of blocks) {
    whole.set(block, at);
    at += block.length;
  }
  return whole;
}

// A WAV file of 16-bit mono samples.
export function wav(samples, rate) {
  const head = new DataView(new ArrayBuffer(44)), size = 2 * samples.length;
  const text = (at, word) => [...word].forEach((letter, index) => head.setUint8(at + index, letter.charCodeAt(0)));
  text(0, "RIFF"); head.setUint32(4, 36 + size, true); text(8, "WAVEfmt ");
  head.setUint32(16, 16, true); head.setUint16(20, 1, true); head.setUint16(22, 1, true);
  head.setUint32(24, rate, true); head.setUint32(28, 2 * rate, true); head.setUint16(32, 2, true); head.setUint16(34, 16, true);
  text(36, "data"); head.setUint32(40, size, true);
  return new Blob([head, int16(samples)], { type: "audio/wav" });
}

// Takes samples as they come and keeps their extremes, low and high, of every hop.
export class Outline {
  constructor(rate) {
    Object.assign(this, { hop: Math.round(rate / 200), low: [], high: [], filled: 0 });
  }

  add(samples) {
    for (const sample of samples) {
      if (this.filled === 0) { this.low.push(0); this.high.push(0); }
      const last = this.low.length - 1;
      if (sample < this.low[last]) this.low[last] = sample;
      if (sample > this.high[last]) this.high[last] = sample;
      this.filled = (this.filled + 1) % this.hop;
    }
  }
}

// Takes samples as they come and keeps a column of the spectrogram for every hop, each ROWS bytes, low tones first.
export class Spectrogram {
  constructor(rate) {
    this.hop = Math.round(rate / 100);
    this.columns = [];
    this.repaint();
    this.pending = new Float32Array(0);
    this.window = Float32Array.from({ length: FFT }, (_, index) => 0.5 - 0.5 * Math.cos((2 * Math.PI * index) / FFT));
    const top = Math.min(TOP_HZ, rate / 2), mel = (hz) => Math.log1p(hz / 700), hz = (value) => 700 * Math.expm1(value);
    this.edges = Array.from({ length: ROWS + 1 }, (_, row) => (hz((mel(top) * row) / ROWS) * FFT) / rate);
  }

  add(samples) {
    const all = joined([this.pending, samples]);
    let start = 0;
    for (; start + FFT <= all.length; start += this.hop) this.columns.push(this.column(all.subarray(start, start + FFT)));
    this.pending = all.slice(start);
  }

  // Forgets what was drawn: with other colours, all of it must be drawn again.
  repaint() {
    Object.assign(this, { sheet: null, painted: 0 });
  }

  column(samples) {
    const real = samples.map((sample, index) => sample * this.window[index]), imaginary = new Float32Array(FFT);
    transform(real, imaginary);
    return Uint8Array.from({ length: ROWS }, (_, row) => {
      const first = Math.floor(this.edges[row]), last = Math.max(first + 1, Math.ceil(this.edges[row + 1]));
      let power = 0;
      for (let bin = first; bin < last; bin++) power += real[bin] ** 2 + imaginary[bin] ** 2;
      const decibels = 10 * Math.log10(power / (last - first) / (FFT / 4) ** 2 + 1e-12);
      return 255 * Math.max(0, Math.min(1, (decibels - FLOOR_DB) / (CEILING_DB - FLOOR_DB)));
    });
  }
}

// In place: the discrete Fourier transform of FFT values (Cooley and Tukey 1965, radix 2).
function transform(real, imaginary) {
  for (let index = 1, mirror = 0; index < FFT; index++) {
    let bit = FFT >> 1;
    for (; mirror & bit; bit >>= 1) mirror ^= bit;
    mirror ^= bit;
    if (index < mirror) [real[index], real[mirror]] = [real[mirror], real[index]];
  }
  for (let size = 2; size <= FFT; size *= 2) {
    const angle = (-2 * Math.PI) / size;
    for (let step = 0; step < size / 2; step++) {
      const cosine = Math.cos(angle * step), sine = Math.sin(angle * step);
      for (let even = step; even < FFT; even += size) {
        const odd = even + size / 2;
        const x = real[odd] * cosine - imaginary[odd] * sine, y = real[odd] * sine + imaginary[odd] * cosine;
        real[odd] = real[even] - x; imaginary[odd] = imaginary[even] - y;
        real[even] += x; imaginary[even] += y;
      }
    }
  }
}
