-- The header script for Lua, second part: one header of the reply.
ngx.header["X-Served-By"] = "lua"
