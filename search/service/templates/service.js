// Asks the service that the page came from.
import { int16 } from "/sound.js";

const CHUNK = 16384; // samples in a message
const MOST_WAITING = 2 ** 20; // bytes, before more is handed to the browser

// Opens a stream of 16-bit samples; onAnswer gets what the model says, or { error }, after every hop.
export function openStream(rate, hop, onAnswer) {
  const address = new URL("/stream", location.href.replace(/^http/, "ws"));
  address.search = new URLSearchParams({ rate, format: "int16", hop });
  const socket = new WebSocket(address), waiting = [];
  socket.addEventListener("open", () => waiting.splice(0).forEach((data) => socket.send(data)));
  socket.addEventListener("message", ({ data }) => onAnswer(JSON.parse(data)));
  const over = new Promise((done) => socket.addEventListener("close", done));
  return {
    over,
    send: (data) => (socket.readyState === WebSocket.CONNECTING ? waiting.push(data) : socket.send(data)),
    end() {
      if (!this.closed) this.send("end");
      return over;
    },
    get behind() { return socket.bufferedAmount; },
    get closed() { return socket.readyState > WebSocket.OPEN; },
  };
}

// All samples of a recording, as quickly as the service takes them.
export async function sendWhole(channel, samples) {
  for (let start = 0; start < samples.length && !channel.closed; start += CHUNK) {
    channel.send(int16(samples.subarray(start, start + CHUNK)).buffer);
    while (channel.behind > MOST_WAITING && !channel.closed) await new Promise((next) => setTimeout(next, 50));
  }
  await channel.end();
}

// One file: a prediction, or { error }.
export async function predict(file, name) {
  const form = new FormData();
  form.append("files", file, name);
  const answer = await fetch("/predict", { method: "POST", body: form });
  const body = await answer.json();
  return body.predictions?.[0] ?? { error: body.error };
}
