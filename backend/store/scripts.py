"""Every Lua script: what must happen in Redis as one step."""

ACQUIRE = """
-- Take a lock that nobody holds.
-- KEYS: lock, fence. ARGV: milliseconds until it expires.
-- Gives a token larger than all before it, or 0 if the lock is held. It is the time, so that
-- no token is given twice, even if Redis comes back without its last second.
if redis.call('EXISTS', KEYS[1]) == 1 then
    return 0
end
local now = redis.call('TIME')
local token = now[1] * 1000000 + now[2]
local last = tonumber(redis.call('GET', KEYS[2]) or '0')
if token <= last then
    token = last + 1
end
local text = string.format('%.0f', token)
redis.call('SET', KEYS[2], text)
redis.call('SET', KEYS[1], text, 'PX', ARGV[1])
return token
"""

RENEW = """
-- Keep a lock. KEYS: lock. ARGV: token, milliseconds. Gives 0 if it is lost.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
    return 0
end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
"""

RELEASE = """
-- Give a lock back. KEYS: lock. ARGV: token. Gives 0 if it was lost.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
    return 0
end
return redis.call('DEL', KEYS[1])
"""

COMMIT = """
-- Execute commands if every fence still shows the token that the caller was given.
-- KEYS: a fence per token, then the key of each command, then keys that arguments name.
-- ARGV: number of tokens, the tokens, then per command: name, number of arguments, arguments.
-- Gives 1, or 0 if somebody took a lock since, or -1 if a key to be renamed is gone; nothing
-- has changed then.
local tokens = tonumber(ARGV[1])
for i = 1, tokens do
    if redis.call('GET', KEYS[i]) ~= ARGV[1 + i] then
        return 0
    end
end
local function each(visit)
    local at, key = tokens + 2, tokens + 1
    while at <= #ARGV do
        local last = at + 1 + tonumber(ARGV[at + 1])
        visit(ARGV[at], KEYS[key], at + 2, last)
        at, key = last + 1, key + 1
    end
end
local is_complete = true
each(function(name, key)
    if name == 'RENAME' and redis.call('EXISTS', key) == 0 then
        is_complete = false
    end
end)
if not is_complete then
    return -1
end
each(function(name, key, first, last)
    redis.call(name, key, unpack(ARGV, first, last))
end)
return 1
"""

INTERN = """
-- Number values, each for good. KEYS: values by number, numbers by digest.
-- ARGV: digest and value of each. Gives their numbers, from 0 in the order of their coming.
local numbers = {}
for i = 1, #ARGV, 2 do
    local number = redis.call('HGET', KEYS[2], ARGV[i])
    if not number then
        number = redis.call('HLEN', KEYS[1])
        redis.call('HSET', KEYS[2], ARGV[i], number)
        redis.call('HSET', KEYS[1], number, ARGV[i + 1])
    end
    numbers[#numbers + 1] = tonumber(number)
end
return numbers
"""
