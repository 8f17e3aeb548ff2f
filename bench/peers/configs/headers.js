// The header script for njs: two headers of the request, as variables, and one of the reply.
function tenant() {
  return "acme";
}

function source() {
  return "gateway";
}

function served(r) {
  r.headersOut["X-Served-By"] = "njs";
}

export default { tenant, source, served };
