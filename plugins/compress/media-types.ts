/** Which media types are worth compressing. */

/** What a reply's Content-Type means here; `stream`: made for delivery piece by piece, never compressed. */
export type TypeClass = "compressible" | "stream" | "other";

const STREAMS = new Set(["text/event-stream", "multipart/x-mixed-replace"]);

/** Compiles patterns: `type/subtype`, `type/*`, `*+suffix` or all of them. */
export function compileTypes(patterns: readonly string[]): (contentType: string | undefined) => TypeClass {
  const exact = new Set<string>();
  const prefixes: string[] = [];
  const suffixes: string[] = [];
  for (const pattern of patterns.map((p) => p.toLowerCase())) {
    if (pattern === "*/*") prefixes.push("");
    else if (pattern.endsWith("/*")) prefixes.push(pattern.slice(0, -1));
    else if (pattern.startsWith("*+")) suffixes.push(pattern.slice(1));
    else exact.add(pattern);
  }
  return (contentType) => {
    if (contentType === undefined) return "other";
    const end = contentType.indexOf(";");
    const type = (end === -1 ? contentType : contentType.slice(0, end)).trim().toLowerCase();
    if (STREAMS.has(type) || type.startsWith("application/grpc")) return "stream";
    const matches =
      exact.has(type) ||
      prefixes.some((prefix) => type.startsWith(prefix)) ||
      suffixes.some((suffix) => type.endsWith(suffix));
    return matches ? "compressible" : "other";
  };
}
