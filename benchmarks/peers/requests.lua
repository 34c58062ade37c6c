-- wrk's requests: ten header fields, about 700 bytes. They are made before the clock starts. What differs from one to the next:
--   unique     path, query, ids and token; more tokens than any gateway's cache holds, so that each is verified
--   known      path, query, ids and token; the tokens fit into the caches
--   ids        path, query and ids; one token
--   repeated   nothing
local kind, path, tokens = "@KIND@", "@PATH@", {}
for line in io.lines("@TOKENS@") do tokens[#tokens + 1] = line end
local requests, count, turn = {}, 20000, 0
-- LuaJIT hashes a long string by a few bytes of its begin, first quarter, middle and end: an id stands in the middle, else 70,000
-- strings would fall into one bucket.
local form = "GET %s HTTP/1.1\r\nHost: api.example.test\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) client/1.4.2\r\n"
  .. "Accept: application/json\r\nAccept-Encoding: gzip, deflate, br\r\nAccept-Language: en-GB,en;q=0.9\r\n"
  .. "Cache-Control: no-cache\r\nReferer: https://app.example.test/list\r\ntraceparent: 00-%s%s-%s-01\r\n"
  .. "X-Request-Id: %s\r\nAuthorization: Bearer %s\r\n\r\n"

local function id()
  return string.format("%08x%08x", math.random(0, 0x7fffffff), math.random(0, 0x7fffffff))
end

local function one(token)
  local each = id()
  local target = path .. "/" .. math.random(1, 100000) .. "?page=" .. math.random(1, 9)
  return string.format(form, target, each, each, each, each, token)
end

function init(arguments)
  math.randomseed(@SEED@)
  if kind == "unique" then count = #tokens end
  if kind == "repeated" then count = 1 end
  for k = 1, count do
    requests[k] = one((kind == "unique" or kind == "known") and tokens[(k - 1) % #tokens + 1] or tokens[1])
  end
end

function request()
  turn = turn + 1
  if turn > count then turn = 1 end
  return requests[turn]
end
