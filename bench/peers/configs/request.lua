-- The header script for Lua, first part: two headers of the request.
ngx.req.set_header("X-Tenant", "acme")
ngx.req.set_header("X-Source", "gateway")
