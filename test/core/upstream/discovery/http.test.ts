import { afterEach, describe, expect, it, vi } from "vitest";
import { type ApiRequest, ApiClient, readLines, readText } from "../../../../core/upstream/discovery/http.ts";
import { startRawUpstream, startUpstream } from "../../../support/upstream.ts";

afterEach(() => void vi.useRealTimers());

const get = (url: string, request: Partial<ApiRequest> = {}) =>
  new ApiClient().get(new URL(url), {
    headers: {},
    ca: undefined,
    idleMs: 5000,
    signal: new AbortController().signal,
    ...request,
  });

describe("a request to an API", () => {
  it("fails when nothing comes for too long, before the head as well as in the body", async () => {
    await using silent = await startRawUpstream(() => {});
    await expect(get(silent.url, { idleMs: 20 })).rejects.toThrow(
      `nothing came from ${silent.url} for 0.02 s`,
    );
    await using stalling = await startRawUpstream((socket) => {
      socket.write("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf");
    });
    const reply = await get(stalling.url, { idleMs: 50 });
    await expect(readText(reply)).rejects.toThrow();
  });

  it("fails when no connection opens within 5 s", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    let accept = (): void => {};
    const accepted = new Promise<void>((resolve) => {
      accept = resolve;
    });
    await using silent = await startRawUpstream(() => accept()); // and says nothing of TLS
    const url = silent.url.replace("http:", "https:");
    const failed = expect(get(url)).rejects.toThrow(`no connection to ${url} within 5 s`);
    await accepted;
    await vi.advanceTimersByTimeAsync(5000);
    await failed;
    expect(vi.getTimerCount()).toBe(0);
  });

  it("says which host when there are several addresses and none answers", async () => {
    const { port, close } = await startUpstream();
    await close();
    await expect(get(`http://localhost:${port}`)).rejects.toThrow(/ECONNREFUSED/);
  });

  it("ends with its signal", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    await using silent = await startRawUpstream(() => {});
    const abort = new AbortController();
    const reply = get(silent.url, { signal: abort.signal });
    abort.abort();
    await expect(reply).rejects.toThrow("aborted");
    await new Promise((resolve) => setImmediate(resolve));
    expect(vi.getTimerCount()).toBe(0);
  });

  it("does not read more than 32 MB, whole or as a line", async () => {
    await using server = await startUpstream((_request, response) => {
      response.end(Buffer.alloc(33 * 1024 * 1024, "x"));
    });
    await expect(readText(await get(server.url))).rejects.toThrow("the answer is too large");
    const lines = readLines(await get(server.url));
    await expect(lines.next()).rejects.toThrow("the answer is too large");
  });

  it("gives lines as they are complete, also where pieces end within one or within a character", async () => {
    const text = Buffer.from('{"a":1}\n\n{"b":"é"}\n{"c"');
    await using server = await startUpstream(async (_request, response) => {
      for (const byte of text) {
        response.write(Buffer.of(byte));
        await new Promise((resolve) => setImmediate(resolve));
      }
      response.end();
    });
    const lines: string[] = [];
    for await (const some of readLines(await get(server.url))) lines.push(...some);
    expect(lines).toEqual(['{"a":1}', '{"b":"é"}']);
  });
});
