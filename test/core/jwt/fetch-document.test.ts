import { expect, it } from "vitest";
import { fetchDocument } from "../../../core/jwt/fetch-document.ts";
import { startUpstream } from "../../support/upstream.ts";

const fetchFrom = (url: string): Promise<string> => fetchDocument(new URL(url), new AbortController().signal);

it("fetches a document", async () => {
  await using server = await startUpstream((_, response) => void response.end("keys"));
  expect(await fetchFrom(server.url)).toBe("keys");
});

it.each([302, 404, 500])("takes none from an answer with status %i", async (status) => {
  await using server = await startUpstream((_, response) => void response.writeHead(status).end("keys"));
  await expect(fetchFrom(server.url)).rejects.toThrow(`status ${status}`);
});

it("takes none that is large", async () => {
  await using server = await startUpstream((_, response) => void response.end("x".repeat(256 * 1024 + 1)));
  await expect(fetchFrom(server.url)).rejects.toThrow("more than 262144 bytes");
});
