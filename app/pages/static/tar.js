// A folder as a tar, without reading it: the blob refers to the files, and the browser reads them as it sends them.
const BLOCK = 512;
const encode = (text) => new TextEncoder().encode(text);

export function archive(files) {
  const parts = [];
  // the same folder gives the same bytes, so that its upload can go on
  for (const [path, file] of [...files].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const name = encode(path);
    if (name.length > 100) {
      const record = pax(path);
      parts.push(header(encode("././@PaxHeader"), record.length, "x"), record, padding(record.length));
    }
    parts.push(header(name.slice(0, 100), file.size, "0"), file, padding(file.size));
  }
  parts.push(new Uint8Array(2 * BLOCK));
  return new Blob(parts, { type: "application/x-tar" });
}

function header(name, size, kind) {
  const block = new Uint8Array(BLOCK);
  const put = (text, at) => block.set(typeof text === "string" ? encode(text) : text, at);
  put(name, 0);
  put("0000644\0", 100);
  put("0000000\0", 108);
  put("0000000\0", 116);
  put(`${size.toString(8).padStart(11, "0")}\0`, 124);
  put("00000000000\0", 136);
  put("        ", 148);
  put(kind, 156);
  put("ustar\u000000", 257);
  const sum = block.reduce((total, byte) => total + byte, 0);
  put(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
  return block;
}

// "LENGTH path=…\n", where LENGTH counts itself
function pax(path) {
  const rest = encode(` path=${path}\n`).length;
  let length = rest + 1;
  while (String(length).length + rest !== length) length = String(length).length + rest;
  return encode(`${length} path=${path}\n`);
}

const padding = (size) => new Uint8Array((BLOCK - (size % BLOCK)) % BLOCK);
