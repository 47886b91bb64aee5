// The frames of an AWS event stream: lengths, headers, payload, each with a checksum that TCP makes unnecessary here.

const LARGEST = 16 * 1024 * 1024;
const text = new TextDecoder();

function headers(view, from, to) {
  const found = {};
  let at = from;
  while (at < to) {
    const nameLength = view.getUint8(at);
    const name = text.decode(new Uint8Array(view.buffer, view.byteOffset + at + 1, nameLength));
    at += 1 + nameLength;
    const kind = view.getUint8(at);
    at += 1;
    // Strings are all that these streams use.
    if (kind !== 7) throw new Error(`header ${name} is of kind ${kind}`);
    const length = view.getUint16(at);
    found[name] = text.decode(new Uint8Array(view.buffer, view.byteOffset + at + 2, length));
    at += 2 + length;
  }
  return found;
}

/** The events of a response, as they come: `{type, value}`; an exception is thrown. */
export async function* events(response) {
  const reader = response.body.getReader();
  let buffer = new Uint8Array(0);
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const joined = new Uint8Array(buffer.length + value.length);
    joined.set(buffer);
    joined.set(value, buffer.length);
    buffer = joined;
    while (buffer.length >= 12) {
      const view = new DataView(buffer.buffer, buffer.byteOffset, buffer.byteLength);
      const total = view.getUint32(0);
      if (total > LARGEST || total < 16) throw new Error("the stream is not what it should be");
      if (buffer.length < total) break;
      const headerEnd = 12 + view.getUint32(4);
      const found = headers(view, 12, headerEnd);
      const payload = text.decode(buffer.subarray(headerEnd, total - 4));
      buffer = buffer.slice(total);
      const body = payload ? JSON.parse(payload) : {};
      if (found[":message-type"] !== "event") throw new Error(body.message ?? found[":exception-type"] ?? "the stream failed");
      yield { type: found[":event-type"], value: body };
    }
  }
}
