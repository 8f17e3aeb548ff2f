/**
 * The door to node:http. Whoever imports that by name has Node read all it exports, and to read some of it is to load
 * the fetch that is built into Node: 30 ms and 8 MB for what nobody here uses. Types are imported as from any module.
 */
export const { Agent, STATUS_CODES, createServer, request } = process.getBuiltinModule("node:http");
