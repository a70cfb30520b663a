// Files on their way, so that a reload of the page need not ask for them again. Larger ones have to be chosen again;
// what has arrived of them is not sent twice either way.
const MOST_BYTES = 500e6;

function store(mode, work) {
  return new Promise((done) => {
    const opening = indexedDB.open("tdmr uploads", 1);
    opening.onupgradeneeded = () => opening.result.createObjectStore("files", { keyPath: "id" });
    opening.onerror = () => done(undefined); // a private window may have no store
    opening.onsuccess = () => {
      const request = work(opening.result.transaction("files", mode).objectStore("files"));
      request.onsuccess = () => { opening.result.close(); done(request.result); };
      request.onerror = () => { opening.result.close(); done(undefined); };
    };
  });
}

export const keep = (id, blob, name) => (blob.size > MOST_BYTES ? Promise.resolve() : store("readwrite", (files) => files.put({ id, blob, name })));
export const forget = (id) => store("readwrite", (files) => files.delete(id));
export const kept = async () => (await store("readonly", (files) => files.getAll())) || [];
