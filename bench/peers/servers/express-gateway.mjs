// Express Gateway as its generator starts it: `express-gateway.mjs FOLDER`. The models of its users are the ones that the
// package has, where its configuration is.
import { cpSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";

const [folder] = process.argv.slice(2);
const require = createRequire(import.meta.url);
const main = require.resolve("express-gateway");
cpSync(join(dirname(main), "config", "models"), join(folder, "models"), { recursive: true });
const [{ app }] = await require("express-gateway")().load(folder).run();
// Clients may idle for as long as with the others; Node closes their connections after 5 s.
app.keepAliveTimeout = 600_000;
