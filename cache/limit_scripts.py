"""The limiters' scripts for Redis (Lua 5.1): many requests in one call, each all or nothing, on Redis's own clock.

Keys of one call must be in one slot of a cluster: the limiters' prefix holds a hash tag.
"""

import hashlib

_TIME = """
local time = redis.call('TIME')
local seconds, now = tonumber(time[1]), time[1] * 1000000 + time[2]
local month_ends
local function month_end()
  if month_ends then return month_ends end
  -- days since 1970 to year and month and back (Howard Hinnant, chrono-compatible low-level date algorithms)
  local z = math.floor(seconds / 86400) + 719468
  local era = math.floor(z / 146097)
  local doe = z - era * 146097
  local yoe = math.floor((doe - math.floor(doe / 1460) + math.floor(doe / 36524) - math.floor(doe / 146096)) / 365)
  local doy = doe - (365 * yoe + math.floor(yoe / 4) - math.floor(yoe / 100))
  local mp = math.floor((5 * doy + 2) / 153)
  local year, month = yoe + era * 400, mp + 3
  if month > 12 then year, month = year + 1, month - 12 end
  -- now the first day of the next month
  month = month + 1
  if month > 12 then year, month = year + 1, 1 end
  local y = year
  if month <= 2 then y = y - 1 end
  local era2 = math.floor(y / 400)
  local yoe2 = y - era2 * 400
  local shifted = month + 9
  if month > 2 then shifted = month - 3 end
  local doy2 = math.floor((153 * shifted + 2) / 5)
  local doe2 = yoe2 * 365 + math.floor(yoe2 / 4) - math.floor(yoe2 / 100) + doy2
  month_ends = (era2 * 146097 + doe2 - 719468) * 86400
  return month_ends
end
local function period_end(kind)
  if kind == 'm' then return month_end() end
  return (math.floor(seconds / 86400) + 1) * 86400
end
-- Times in microseconds. The arrival is kept as whole microseconds and a fraction, and reckoned relative to now: as one double
-- since 1970 it would be a quarter of a microsecond coarse, which adds up over a large burst at a high rate.
local function ahead_of(key)
  local state = redis.call('GET', key)
  if not state then return 0 end
  local whole, fraction = string.match(state, '^(%d+):(.+)$')
  return math.max(whole - now + fraction, 0)
end
local function keep_ahead(key, ahead)
  local whole = math.floor(ahead)
  local kept = string.format('%.0f:%.17g', now + whole, ahead - whole)
  redis.call('SET', key, kept, 'PX', string.format('%.0f', math.max(1, math.ceil(ahead / 1000))))
end
local function count_up(key, kind, by)
  if redis.call('INCRBY', key, by) == by then redis.call('EXPIREAT', key, period_end(kind)) end
end
"""

# ARGV: number of requests; for each: number of charges; for each charge: kind, count, parameter. One key for each charge.
# Kinds: r rate (parameter: interval in microseconds), d day, m month, c concurrent (parameter: lease), n renew a lease, x give it
# back. The answer is flat: for each request the number of the first refused charge (0: none), the wait in microseconds, and
# for each charge how many are left and the microseconds until all of it is free.
DECIDE = (
    _TIME
    + """
local lease_ms = 60000
local out, o, k, a = {}, 0, 0, 1
for request = 1, tonumber(ARGV[1]) do
  local charges = tonumber(ARGV[a + 1])
  a = a + 1
  local refused, wait, base = 0, 0, o + 2
  local states = {}
  for i = 1, charges do
    local key, kind, count, parameter = KEYS[k + i], ARGV[a + 1], tonumber(ARGV[a + 2]), ARGV[a + 3]
    local places, reset, this_wait = 0, 0, 0
    a = a + 3
    if kind == 'r' then
      local interval = tonumber(parameter)
      local ahead = ahead_of(key)
      local early = ahead + interval - count * interval
      states[i] = ahead
      places, reset = math.max(0, math.floor((count * interval - ahead) / interval + 1e-3)), ahead
      if early > interval * 1e-3 then places, this_wait = 0, early end
    elseif kind == 'd' or kind == 'm' then
      places = math.max(0, count - tonumber(redis.call('GET', key) or '0'))
      reset = math.max(0, period_end(kind) * 1000000 - now)
      if places == 0 then this_wait = math.max(reset, 1000000) end
    elseif kind == 'c' then
      redis.call('ZREMRANGEBYSCORE', key, '-inf', string.format('%.0f', now / 1000))
      places = math.max(0, count - redis.call('ZCARD', key))
      if places == 0 then this_wait = 1000000 end
    end
    if this_wait > 0 then
      if refused == 0 then refused = i end
      wait = math.max(wait, this_wait)
    end
    out[base + 2 * i - 1], out[base + 2 * i] = places, math.ceil(reset)
  end
  if refused == 0 then
    for i = 1, charges do
      local key, kind, parameter = KEYS[k + i], ARGV[a - 3 * (charges - i) - 2], ARGV[a - 3 * (charges - i)]
      if kind == 'r' then
        local ahead = states[i] + tonumber(parameter)
        keep_ahead(key, ahead)
        out[base + 2 * i] = math.ceil(ahead)
      elseif kind == 'd' or kind == 'm' then
        count_up(key, kind, 1)
      elseif kind == 'c' then
        redis.call('ZADD', key, string.format('%.0f', now / 1000 + lease_ms), parameter)
        redis.call('PEXPIRE', key, lease_ms)
      elseif kind == 'n' then
        redis.call('ZADD', key, 'XX', string.format('%.0f', now / 1000 + lease_ms), parameter)
        redis.call('PEXPIRE', key, lease_ms)
      elseif kind == 'x' then
        redis.call('ZREM', key, parameter)
      end
      out[base + 2 * i - 1] = out[base + 2 * i - 1] - 1
    end
  end
  out[o + 1], out[o + 2] = refused, math.ceil(wait)
  o, k = base + 2 * charges, k + charges
end
return out
"""
)

# KEYS: the nodes' table, then one key for each entry. ARGV: this node, the milliseconds for which a silent node still counts; for
# each entry kind, amount, parameter: r (requests since the last time; interval in microseconds), d and m (requests), c (places
# held now by this node). The answer: the number of nodes, then for each entry what all nodes have used: microseconds ahead, the
# count of the period, the places held by others.
SYNC = (
    _TIME
    + """
local node, silent_ms, now_ms = ARGV[1], tonumber(ARGV[2]), now / 1000
local function seen(key)
  redis.call('ZADD', key, string.format('%.0f', now_ms), node)
  redis.call('ZREMRANGEBYSCORE', key, '-inf', string.format('%.0f', now_ms - silent_ms))
  redis.call('PEXPIRE', key, string.format('%.0f', silent_ms))
end
seen(KEYS[1])
local out = {redis.call('ZCARD', KEYS[1])}
for i = 2, #KEYS do
  local key, kind, amount, parameter = KEYS[i], ARGV[3 * i - 3], tonumber(ARGV[3 * i - 2]), ARGV[3 * i - 1]
  if kind == 'r' then
    local ahead = ahead_of(key)
    if amount > 0 then
      ahead = ahead + amount * tonumber(parameter)
      keep_ahead(key, ahead)
    end
    out[i] = math.ceil(ahead)
  elseif kind == 'c' then
    local others = 0
    local fields = redis.call('HGETALL', key)
    for f = 1, #fields, 2 do
      local held, at = string.match(fields[f + 1], '^(%d+):(%d+)$')
      if fields[f] == node then
      elseif now_ms - at > silent_ms then redis.call('HDEL', key, fields[f])
      else others = others + held end
    end
    if amount > 0 then
      redis.call('HSET', key, node, string.format('%.0f:%.0f', amount, now_ms))
      redis.call('PEXPIRE', key, string.format('%.0f', silent_ms))
    else
      redis.call('HDEL', key, node)
    end
    out[i] = others
  else
    if amount > 0 then count_up(key, kind, amount) end
    out[i] = tonumber(redis.call('GET', key) or '0')
  end
end
return out
"""
)


def digest(script: str) -> bytes:
    """How EVALSHA names a script."""
    return hashlib.sha1(script.encode(), usedforsecurity=False).hexdigest().encode()
