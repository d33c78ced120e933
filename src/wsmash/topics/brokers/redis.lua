-- One topic's stream in Redis: its epoch, its offsets, its history, and what was published with which key.
--
-- KEYS: 1 a hash of what is known of the stream, 2 the stream itself, 3 the result of an idempotency key, where there is one
-- ARGV: 1 "publish" or "read"
--       2 an epoch that is used where a new one begins
--       3 the lineage of the server's data, as the connection has it
--       4 and 5 an epoch and an offset that were reached in it, as far as the node knows
--       6 how many messages are kept, 0 for none; 7 for how many milliseconds
--   publish: 8 the record; 9 the channel; 10 milliseconds that the key is known
--   read:    8 the offset after which; 9 how many at most; 10 bytes at most
--
-- An ID of the stream is `offset-milliseconds`: the time is only asked whether a message has expired.

local DAY, HOUR, MINUTE = 86400000, 3600000, 60000

local meta, stream = KEYS[1], KEYS[2]
local operation, candidate, lineage = ARGV[1], ARGV[2], ARGV[3]
local known_epoch, known_offset = ARGV[4], tonumber(ARGV[5])
local size, ttl = tonumber(ARGV[6]), tonumber(ARGV[7])

if redis.replicate_commands then -- before Redis 7 the time may be asked, and then something written, only so
    redis.replicate_commands()
end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local epoch, offset, due

local function text(number)
    return string.format('%.0f', number)
end

-- A new incarnation: no offset of the old one will be used again, and nothing of it is read any more.
local function renew()
    epoch, offset, due = candidate, 0, 0
    redis.call('DEL', meta)
    redis.call('HSET', meta, 'epoch', epoch, 'offset', 0, 'lineage', lineage, 'due', 0)
    redis.call('DEL', stream)
end

-- Data of another lineage may lack messages that were acknowledged; so does a stream that a node saw further on.
local function find()
    local state = redis.pcall('HMGET', meta, 'epoch', 'offset', 'lineage', 'due')
    if state.err then
        return renew()
    end
    epoch, offset, due = state[1], tonumber(state[2]), tonumber(state[4])
    local gone = not (epoch and offset and due) or #epoch ~= #candidate or state[3] ~= lineage
    if gone or (epoch == known_epoch and offset < known_offset) then
        renew()
    end
end

local function has_expired(id)
    return tonumber(string.match(id, '%-(%d+)$')) <= now - ttl
end

local function trim_expired()
    local expired
    repeat
        expired = {}
        local oldest = redis.call('XRANGE', stream, '-', '+', 'COUNT', 16)
        for _, entry in ipairs(oldest) do
            if not has_expired(entry[1]) then
                break
            end
            expired[#expired + 1] = entry[1]
        end
        if #expired > 0 then
            redis.call('XDEL', stream, unpack(expired))
        end
    until #expired < 16
end

-- What need not be done for each message: the expired ones go, and what is not used any more will go by itself. What is
-- known of the stream stays longer than its messages, since without it another epoch begins.
local function tidy()
    local pause = math.max(1000, math.min(MINUTE, ttl / 16))
    if now < due and due - now <= pause then
        return
    end
    if size > 0 then
        trim_expired()
        redis.call('PEXPIRE', stream, text(ttl + 2 * pause))
    end
    redis.call('PEXPIRE', meta, text(ttl + 2 * pause + (size > 0 and offset > 0 and DAY or HOUR)))
    redis.call('HSET', meta, 'due', text(now + pause))
end

local function add(record)
    offset = offset + 1
    redis.call('HSET', meta, 'offset', text(offset))
    if size == 0 then
        return true
    end
    local id = text(offset) .. '-' .. text(now)
    return not redis.pcall('XADD', stream, 'MAXLEN', '=', size, id, 'd', record).err
end

-- The position of the message, and whether it is new.
local function publish()
    local result = KEYS[3]
    if result then
        local known_as, at = string.match(redis.call('GET', result) or '', '^(%x+) (%d+)$')
        if at and #known_as == #candidate and #at <= 16 then
            return { known_as, at, 0 }
        end
    end
    local record, channel = ARGV[8], ARGV[9]
    if not add(record) then -- somebody else has written there
        renew()
        add(record)
    end
    if result then
        redis.call('SET', result, epoch .. ' ' .. text(offset), 'PX', ARGV[10])
    end
    tidy()
    redis.call('PUBLISH', channel, '1\n' .. epoch .. '\n' .. text(offset) .. '\n' .. record)
    return { epoch, text(offset), 1 }
end

-- The newest ones, backwards, and whether they are all: each offset once, down to the one that was asked about.
local function read()
    if type(redis.pcall('XLEN', stream)) == 'table' then -- an error: somebody has made something else of it
        renew()
    end
    local after, limit, room = tonumber(ARGV[8]), tonumber(ARGV[9]), tonumber(ARGV[10])
    local found, count, to, sound, more = {}, 0, text(offset), true, after < offset and limit > 0
    while more do
        local batch = redis.call('XREVRANGE', stream, to, text(after + 1), 'COUNT', math.min(32, limit - count))
        more = #batch == 32
        for _, entry in ipairs(batch) do
            local at, record = string.match(entry[1], '^%d+'), entry[2][2]
            room = room - #record
            if has_expired(entry[1]) or room < 0 then
                more = false
                break
            end
            sound = sound and tonumber(at) == offset - count
            count = count + 1
            found[2 * count - 1], found[2 * count] = at, record
            to = '(' .. entry[1]
        end
        more = more and count < limit
    end
    local complete = sound and count == offset - after
    if complete and #redis.call('XREVRANGE', stream, to, text(after + 1), 'COUNT', 1) > 0 then
        complete = false -- somebody else has written there
    end
    tidy()
    return { epoch, text(offset), complete and 1 or 0, found }
end

find()
return operation == 'publish' and publish() or read()
