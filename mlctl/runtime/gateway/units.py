"""Which place a request has in a split, by the unit that it names: the same in both gateways and in the analysis.

Headers are bytes. Those that are UTF-8 are read as that, all others as Latin-1, which is what HTTP headers once were and
what many clients still send: each byte is a character then, and no header is unreadable. A header that is given more
than once is its values, joined by commas. An empty one names no unit.
"""

from __future__ import annotations

from mlctl.rollout.routes import TOTAL
from mlctl.stats.assignment import bucket, fnv1a
from mlctl.types.jobs.rollout import UNIT_BUCKET_HEADER, Unit


def text_of(header: bytes) -> str:
    """The unit that a header's bytes name."""
    try:
        return header.decode("utf-8")
    except UnicodeDecodeError:
        return header.decode("latin-1")


def place(header: bytes, salt: str) -> int:
    """The place of a unit: 0 to 9999."""
    return round(bucket(text_of(header), salt) * TOTAL)


def lua(unit: Unit) -> str:
    """The same for Envoy: a filter that puts a unit's place into a header, by which it is routed.

    LuaJIT counts in doubles, which hold 53 bits: 16777619 is 2^24 + 403, so the product's low 32 bits are those of a shift
    and of a product that is small enough. The hash of the salt, which comes first, is computed here once.
    """
    return (
        _LUA.replace("@HEADER@", unit.header.lower())
        .replace("@START@", str(fnv1a(unit.salt)))
        .replace("@BUCKET@", UNIT_BUCKET_HEADER)
        .replace("@TOTAL@", str(TOTAL))
    )


_LUA = """\
local band, bxor, lshift, tobit = bit.band, bit.bxor, bit.lshift, bit.tobit
local byte = string.byte

-- one step of FNV-1a, of 32 bits
local function step(hash, unit)
  hash = bxor(hash, unit)
  return tobit(lshift(hash, 24) + (hash % 4294967296) * 403)
end

local function unsigned(hash)
  return hash % 4294967296
end

-- how many bytes follow the first one of a character, and its own bits; nothing when it is no first byte
local function first(value)
  if value < 0x80 then return 0, value end
  if value >= 0xC2 and value < 0xE0 then return 1, band(value, 0x1F) end
  if value >= 0xE0 and value < 0xF0 then return 2, band(value, 0x0F) end
  if value >= 0xF0 and value < 0xF5 then return 3, band(value, 0x07) end
end

-- over the UTF-16 code units of UTF-8 bytes; nothing when they are no UTF-8
local function utf8(hash, text)
  local at, size = 1, #text
  while at <= size do
    local more, code = first(byte(text, at))
    if not more or at + more > size then return nil end
    for place = at + 1, at + more do
      local value = byte(text, place)
      if value < 0x80 or value > 0xBF then return nil end
      code = code * 64 + band(value, 0x3F)
    end
    if more == 2 and (code < 0x800 or (code >= 0xD800 and code < 0xE000)) then return nil end
    if more == 3 and (code < 0x10000 or code > 0x10FFFF) then return nil end
    if code < 0x10000 then
      hash = step(hash, code)
    else
      code = code - 0x10000
      hash = step(step(hash, 0xD800 + math.floor(code / 1024)), 0xDC00 + band(code, 0x3FF))
    end
    at = at + more + 1
  end
  return hash
end

local function latin1(hash, text)
  for at = 1, #text do hash = step(hash, byte(text, at)) end
  return hash
end

function envoy_on_request(handle)
  local headers = handle:headers()
  local text = headers:get("@HEADER@")
  if text == nil or text == "" then return end
  local hash = unsigned(utf8(@START@, text) or latin1(@START@, text))
  local again = unsigned(latin1(2166136261, string.format("%.0f", hash)))
  headers:replace("@BUCKET@", string.format("%d", again % @TOTAL@))
  handle:clearRouteCache()
end
"""
