#!/usr/bin/env node
// Plain JavaScript that any Node can parse, so that an old one is told what is wrong in one line.
const [major] = process.versions.node.split(".").map(Number);
if (major < 26) {
  console.error(
    `sluice needs Node 26 or newer; this is ${process.versions.node}. \`npm install node@26\` brings it into a project.`,
  );
  process.exitCode = 1;
} else {
  const { existsSync } = await import("node:fs");
  // The sources are there in a checkout only, and then they are newer than any build.
  const source = new URL("../core/main.ts", import.meta.url);
  await import(existsSync(source) ? source.href : new URL("../dist/core/main.js", import.meta.url).href);
}
