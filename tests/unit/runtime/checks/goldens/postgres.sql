-- not_null {"columns": ["x", "Straße \"1"]}
SELECT COUNT(*) AS "rows", SUM(CASE WHEN CASE WHEN NOT ("x" = CAST('NaN' AS DOUBLE PRECISION)) THEN "x" END IS NULL THEN 1 ELSE 0 END) AS "n0_0", SUM(CASE WHEN "Straße ""1" IS NULL THEN 1 ELSE 0 END) AS "n0_1", SUM(CASE WHEN CASE WHEN NOT ("x" = CAST('NaN' AS DOUBLE PRECISION)) THEN "x" END IS NULL OR "Straße ""1" IS NULL THEN 1 ELSE 0 END) AS "f0" FROM "orders";
SELECT "id" FROM (SELECT "id" FROM "orders" WHERE CASE WHEN NOT ("x" = CAST('NaN' AS DOUBLE PRECISION)) THEN "x" END IS NULL OR "Straße ""1" IS NULL ORDER BY "id" LIMIT 5) AS "sample";
SELECT "id", "x", "small", "amount", "name", "flag", "day", "at", "zoned", "Straße ""1", SUBSTRING(CASE WHEN "mlctl rule 1" THEN '; not_null x, Straße "1' ELSE '' END FROM 3) AS "mlctl_rules" FROM (SELECT *, (CASE WHEN NOT ("x" = CAST('NaN' AS DOUBLE PRECISION)) THEN "x" END IS NULL OR "Straße ""1" IS NULL) AS "mlctl rule 1" FROM "orders") AS "flagged" WHERE "mlctl rule 1" ORDER BY "id" LIMIT 10;

-- range {"column": "id", "min": 1, "max": 10}
SELECT COUNT(*) AS "rows", COUNT("id") AS "c0", SUM(CASE WHEN "id" < 1 OR "id" > 10 THEN 1 ELSE 0 END) AS "f0" FROM "orders";
SELECT "id" FROM (SELECT "id" FROM "orders" WHERE "id" < 1 OR "id" > 10 ORDER BY "id" LIMIT 5) AS "sample";
SELECT "id", "x", "small", "amount", "name", "flag", "day", "at", "zoned", "Straße ""1", SUBSTRING(CASE WHEN "mlctl rule 1" THEN '; range id' ELSE '' END FROM 3) AS "mlctl_rules" FROM (SELECT *, ("id" < 1 OR "id" > 10) AS "mlctl rule 1" FROM "orders") AS "flagged" WHERE "mlctl rule 1" ORDER BY "id" LIMIT 10;

-- range {"column": "x", "min": -0.5}
SELECT COUNT(*) AS "rows", COUNT(CASE WHEN NOT ("x" = CAST('NaN' AS DOUBLE PRECISION)) THEN "x" END) AS "c0", SUM(CASE WHEN CASE WHEN NOT ("x" = CAST('NaN' AS DOUBLE PRECISION)) THEN "x" END < CAST('-0.5' AS DOUBLE PRECISION) THEN 1 ELSE 0 END) AS "f0" FROM "orders";
SELECT "id" FROM (SELECT "id" FROM "orders" WHERE CASE WHEN NOT ("x" = CAST('NaN' AS DOUBLE PRECISION)) THEN "x" END < CAST('-0.5' AS DOUBLE PRECISION) ORDER BY "id" LIMIT 5) AS "sample";
SELECT "id", "x", "small", "amount", "name", "flag", "day", "at", "zoned", "Straße ""1", SUBSTRING(CASE WHEN "mlctl rule 1" THEN '; range x' ELSE '' END FROM 3) AS "mlctl_rules" FROM (SELECT *, (CASE WHEN NOT ("x" = CAST('NaN' AS DOUBLE PRECISION)) THEN "x" END < CAST('-0.5' AS DOUBLE PRECISION)) AS "mlctl rule 1" FROM "orders") AS "flagged" WHERE "mlctl rule 1" ORDER BY "id" LIMIT 10;

-- range {"column": "small", "max": 0.1}
SELECT COUNT(*) AS "rows", COUNT(CASE WHEN NOT ("small" = CAST('NaN' AS DOUBLE PRECISION)) THEN "small" END) AS "c0", SUM(CASE WHEN CASE WHEN NOT ("small" = CAST('NaN' AS DOUBLE PRECISION)) THEN "small" END > CAST('0.1' AS REAL) THEN 1 ELSE 0 END) AS "f0" FROM "orders";
SELECT "id" FROM (SELECT "id" FROM "orders" WHERE CASE WHEN NOT ("small" = CAST('NaN' AS DOUBLE PRECISION)) THEN "small" END > CAST('0.1' AS REAL) ORDER BY "id" LIMIT 5) AS "sample";
SELECT "id", "x", "small", "amount", "name", "flag", "day", "at", "zoned", "Straße ""1", SUBSTRING(CASE WHEN "mlctl rule 1" THEN '; range small' ELSE '' END FROM 3) AS "mlctl_rules" FROM (SELECT *, (CASE WHEN NOT ("small" = CAST('NaN' AS DOUBLE PRECISION)) THEN "small" END > CAST('0.1' AS REAL)) AS "mlctl rule 1" FROM "orders") AS "flagged" WHERE "mlctl rule 1" ORDER BY "id" LIMIT 10;

-- range {"column": "amount", "max": 39.1}
SELECT COUNT(*) AS "rows", COUNT("amount") AS "c0", SUM(CASE WHEN "amount" > CAST('39.1' AS DOUBLE PRECISION) THEN 1 ELSE 0 END) AS "f0" FROM "orders";
SELECT "id" FROM (SELECT "id" FROM "orders" WHERE "amount" > CAST('39.1' AS DOUBLE PRECISION) ORDER BY "id" LIMIT 5) AS "sample";
SELECT "id", "x", "small", "amount", "name", "flag", "day", "at", "zoned", "Straße ""1", SUBSTRING(CASE WHEN "mlctl rule 1" THEN '; range amount' ELSE '' END FROM 3) AS "mlctl_rules" FROM (SELECT *, ("amount" > CAST('39.1' AS DOUBLE PRECISION)) AS "mlctl rule 1" FROM "orders") AS "flagged" WHERE "mlctl rule 1" ORDER BY "id" LIMIT 10;

-- range {"column": "day", "min": "2024-01-03"}
SELECT COUNT(*) AS "rows", COUNT("day") AS "c0", SUM(CASE WHEN "day" < CAST('2024-01-03 00:00:00' AS TIMESTAMP) THEN 1 ELSE 0 END) AS "f0" FROM "orders";
SELECT "id" FROM (SELECT "id" FROM "orders" WHERE "day" < CAST('2024-01-03 00:00:00' AS TIMESTAMP) ORDER BY "id" LIMIT 5) AS "sample";
SELECT "id", "x", "small", "amount", "name", "flag", "day", "at", "zoned", "Straße ""1", SUBSTRING(CASE WHEN "mlctl rule 1" THEN '; range day' ELSE '' END FROM 3) AS "mlctl_rules" FROM (SELECT *, ("day" < CAST('2024-01-03 00:00:00' AS TIMESTAMP)) AS "mlctl rule 1" FROM "orders") AS "flagged" WHERE "mlctl rule 1" ORDER BY "id" LIMIT 10;

-- range {"column": "at", "min": "2024-01-01T02:00:00", "max": "2025-01-01"}
SELECT COUNT(*) AS "rows", COUNT("at") AS "c0", SUM(CASE WHEN "at" < CAST('2024-01-01 02:00:00' AS TIMESTAMP) OR "at" > CAST('2025-01-01 00:00:00' AS TIMESTAMP) THEN 1 ELSE 0 END) AS "f0" FROM "orders";
SELECT "id" FROM (SELECT "id" FROM "orders" WHERE "at" < CAST('2024-01-01 02:00:00' AS TIMESTAMP) OR "at" > CAST('2025-01-01 00:00:00' AS TIMESTAMP) ORDER BY "id" LIMIT 5) AS "sample";
SELECT "id", "x", "small", "amount", "name", "flag", "day", "at", "zoned", "Straße ""1", SUBSTRING(CASE WHEN "mlctl rule 1" THEN '; range at' ELSE '' END FROM 3) AS "mlctl_rules" FROM (SELECT *, ("at" < CAST('2024-01-01 02:00:00' AS TIMESTAMP) OR "at" > CAST('2025-01-01 00:00:00' AS TIMESTAMP)) AS "mlctl rule 1" FROM "orders") AS "flagged" WHERE "mlctl rule 1" ORDER BY "id" LIMIT 10;

-- range {"column": "zoned", "max": "2024-01-02T16:00:00+01:00"}
SELECT COUNT(*) AS "rows", COUNT("zoned") AS "c0", SUM(CASE WHEN "zoned" > CAST('2024-01-02 15:00:00+00:00' AS TIMESTAMPTZ) THEN 1 ELSE 0 END) AS "f0" FROM "orders";
SELECT "id" FROM (SELECT "id" FROM "orders" WHERE "zoned" > CAST('2024-01-02 15:00:00+00:00' AS TIMESTAMPTZ) ORDER BY "id" LIMIT 5) AS "sample";
SELECT "id", "x", "small", "amount", "name", "flag", "day", "at", "zoned", "Straße ""1", SUBSTRING(CASE WHEN "mlctl rule 1" THEN '; range zoned' ELSE '' END FROM 3) AS "mlctl_rules" FROM (SELECT *, ("zoned" > CAST('2024-01-02 15:00:00+00:00' AS TIMESTAMPTZ)) AS "mlctl rule 1" FROM "orders") AS "flagged" WHERE "mlctl rule 1" ORDER BY "id" LIMIT 10;

-- set {"column": "name", "values": ["Zoë", "it's", "a\\b"]}
SELECT COUNT(*) AS "rows", COUNT("name") AS "c0", SUM(CASE WHEN NOT "name" IN ('Zoë', 'it''s', 'a\b') THEN 1 ELSE 0 END) AS "f0" FROM "orders";
SELECT "id" FROM (SELECT "id" FROM "orders" WHERE NOT "name" IN ('Zoë', 'it''s', 'a\b') ORDER BY "id" LIMIT 5) AS "sample";
SELECT "id", "x", "small", "amount", "name", "flag", "day", "at", "zoned", "Straße ""1", SUBSTRING(CASE WHEN "mlctl rule 1" THEN '; set name' ELSE '' END FROM 3) AS "mlctl_rules" FROM (SELECT *, (NOT "name" IN ('Zoë', 'it''s', 'a\b')) AS "mlctl rule 1" FROM "orders") AS "flagged" WHERE "mlctl rule 1" ORDER BY "id" LIMIT 10;

-- set {"column": "x", "values": [1, 2.5]}
SELECT COUNT(*) AS "rows", COUNT(CASE WHEN NOT ("x" = CAST('NaN' AS DOUBLE PRECISION)) THEN "x" END) AS "c0", SUM(CASE WHEN NOT CASE WHEN NOT ("x" = CAST('NaN' AS DOUBLE PRECISION)) THEN "x" END IN (CAST('1.0' AS DOUBLE PRECISION), CAST('2.5' AS DOUBLE PRECISION)) THEN 1 ELSE 0 END) AS "f0" FROM "orders";
SELECT "id" FROM (SELECT "id" FROM "orders" WHERE NOT CASE WHEN NOT ("x" = CAST('NaN' AS DOUBLE PRECISION)) THEN "x" END IN (CAST('1.0' AS DOUBLE PRECISION), CAST('2.5' AS DOUBLE PRECISION)) ORDER BY "id" LIMIT 5) AS "sample";
SELECT "id", "x", "small", "amount", "name", "flag", "day", "at", "zoned", "Straße ""1", SUBSTRING(CASE WHEN "mlctl rule 1" THEN '; set x' ELSE '' END FROM 3) AS "mlctl_rules" FROM (SELECT *, (NOT CASE WHEN NOT ("x" = CAST('NaN' AS DOUBLE PRECISION)) THEN "x" END IN (CAST('1.0' AS DOUBLE PRECISION), CAST('2.5' AS DOUBLE PRECISION))) AS "mlctl rule 1" FROM "orders") AS "flagged" WHERE "mlctl rule 1" ORDER BY "id" LIMIT 10;

-- set {"column": "amount", "values": [1.1]}
SELECT COUNT(*) AS "rows", COUNT("amount") AS "c0", SUM(CASE WHEN NOT "amount" IN (1.1) THEN 1 ELSE 0 END) AS "f0" FROM "orders";
SELECT "id" FROM (SELECT "id" FROM "orders" WHERE NOT "amount" IN (1.1) ORDER BY "id" LIMIT 5) AS "sample";
SELECT "id", "x", "small", "amount", "name", "flag", "day", "at", "zoned", "Straße ""1", SUBSTRING(CASE WHEN "mlctl rule 1" THEN '; set amount' ELSE '' END FROM 3) AS "mlctl_rules" FROM (SELECT *, (NOT "amount" IN (1.1)) AS "mlctl rule 1" FROM "orders") AS "flagged" WHERE "mlctl rule 1" ORDER BY "id" LIMIT 10;

-- set {"column": "flag", "values": [true]}
SELECT COUNT(*) AS "rows", COUNT("flag") AS "c0", SUM(CASE WHEN NOT "flag" IN (TRUE) THEN 1 ELSE 0 END) AS "f0" FROM "orders";
SELECT "id" FROM (SELECT "id" FROM "orders" WHERE NOT "flag" IN (TRUE) ORDER BY "id" LIMIT 5) AS "sample";
SELECT "id", "x", "small", "amount", "name", "flag", "day", "at", "zoned", "Straße ""1", SUBSTRING(CASE WHEN "mlctl rule 1" THEN '; set flag' ELSE '' END FROM 3) AS "mlctl_rules" FROM (SELECT *, (NOT "flag" IN (TRUE)) AS "mlctl rule 1" FROM "orders") AS "flagged" WHERE "mlctl rule 1" ORDER BY "id" LIMIT 10;

-- set {"column": "at", "values": ["2024-01-01"]}
SELECT COUNT(*) AS "rows", COUNT("at") AS "c0", SUM(CASE WHEN NOT "at" IN (CAST('2024-01-01 00:00:00' AS TIMESTAMP)) THEN 1 ELSE 0 END) AS "f0" FROM "orders";
SELECT "id" FROM (SELECT "id" FROM "orders" WHERE NOT "at" IN (CAST('2024-01-01 00:00:00' AS TIMESTAMP)) ORDER BY "id" LIMIT 5) AS "sample";
SELECT "id", "x", "small", "amount", "name", "flag", "day", "at", "zoned", "Straße ""1", SUBSTRING(CASE WHEN "mlctl rule 1" THEN '; set at' ELSE '' END FROM 3) AS "mlctl_rules" FROM (SELECT *, (NOT "at" IN (CAST('2024-01-01 00:00:00' AS TIMESTAMP))) AS "mlctl rule 1" FROM "orders") AS "flagged" WHERE "mlctl rule 1" ORDER BY "id" LIMIT 10;

-- regex {"column": "name", "pattern": "(?i)[A-Z\\d]-(\\d{3}|.)'\\.?$"}
SELECT '' ~ '(?i)^(?:[A-Z0-9]-(?:[0-9]{3}|[^
])''\.?\Z)$' AS "matches";
SELECT COUNT(*) AS "rows", COUNT("name") AS "c0", SUM(CASE WHEN NOT "name" ~ '(?i)^(?:[A-Z0-9]-(?:[0-9]{3}|[^
])''\.?\Z)$' THEN 1 ELSE 0 END) AS "f0" FROM "orders";
SELECT "id" FROM (SELECT "id" FROM "orders" WHERE NOT "name" ~ '(?i)^(?:[A-Z0-9]-(?:[0-9]{3}|[^
])''\.?\Z)$' ORDER BY "id" LIMIT 5) AS "sample";
SELECT "id", "x", "small", "amount", "name", "flag", "day", "at", "zoned", "Straße ""1", SUBSTRING(CASE WHEN "mlctl rule 1" THEN '; regex name' ELSE '' END FROM 3) AS "mlctl_rules" FROM (SELECT *, (NOT "name" ~ '(?i)^(?:[A-Z0-9]-(?:[0-9]{3}|[^
])''\.?\Z)$') AS "mlctl rule 1" FROM "orders") AS "flagged" WHERE "mlctl rule 1" ORDER BY "id" LIMIT 10;

-- length {"column": "name", "min": 1, "max": 5}
SELECT COUNT(*) AS "rows", COUNT("name") AS "c0", SUM(CASE WHEN LENGTH("name") < 1 OR LENGTH("name") > 5 THEN 1 ELSE 0 END) AS "f0" FROM "orders";
SELECT "id" FROM (SELECT "id" FROM "orders" WHERE LENGTH("name") < 1 OR LENGTH("name") > 5 ORDER BY "id" LIMIT 5) AS "sample";
SELECT "id", "x", "small", "amount", "name", "flag", "day", "at", "zoned", "Straße ""1", SUBSTRING(CASE WHEN "mlctl rule 1" THEN '; length name' ELSE '' END FROM 3) AS "mlctl_rules" FROM (SELECT *, (LENGTH("name") < 1 OR LENGTH("name") > 5) AS "mlctl rule 1" FROM "orders") AS "flagged" WHERE "mlctl rule 1" ORDER BY "id" LIMIT 10;

-- unique {"columns": ["x"]}
SELECT COUNT(*) AS "rows", SUM(CASE WHEN NOT CASE WHEN NOT ("x" = CAST('NaN' AS DOUBLE PRECISION)) THEN "x" END IS NULL THEN 1 ELSE 0 END) AS "c0" FROM "orders";
SELECT COUNT(DISTINCT CASE WHEN NOT ("x" = CAST('NaN' AS DOUBLE PRECISION)) THEN "x" END) AS "n" FROM "orders";
SELECT COALESCE(SUM("n"), 0) AS "failing" FROM (SELECT COUNT(*) AS "n" FROM "orders" WHERE NOT CASE WHEN NOT ("x" = CAST('NaN' AS DOUBLE PRECISION)) THEN "x" END IS NULL GROUP BY CASE WHEN NOT ("x" = CAST('NaN' AS DOUBLE PRECISION)) THEN "x" END HAVING COUNT(*) > 1) AS "groups";
SELECT "id" FROM (SELECT DISTINCT "id" FROM "orders" WHERE NOT CASE WHEN NOT ("x" = CAST('NaN' AS DOUBLE PRECISION)) THEN "x" END IS NULL AND CASE WHEN NOT ("x" = CAST('NaN' AS DOUBLE PRECISION)) THEN "x" END IN (SELECT CASE WHEN NOT ("x" = CAST('NaN' AS DOUBLE PRECISION)) THEN "x" END FROM "orders" WHERE NOT CASE WHEN NOT ("x" = CAST('NaN' AS DOUBLE PRECISION)) THEN "x" END IS NULL GROUP BY CASE WHEN NOT ("x" = CAST('NaN' AS DOUBLE PRECISION)) THEN "x" END HAVING COUNT(*) > 1) ORDER BY "id" LIMIT 5) AS "sample";
SELECT "id", "x", "small", "amount", "name", "flag", "day", "at", "zoned", "Straße ""1", SUBSTRING(CASE WHEN "mlctl rule 1" THEN '; unique x' ELSE '' END FROM 3) AS "mlctl_rules" FROM (SELECT *, (NOT CASE WHEN NOT ("x" = CAST('NaN' AS DOUBLE PRECISION)) THEN "x" END IS NULL AND CASE WHEN NOT ("x" = CAST('NaN' AS DOUBLE PRECISION)) THEN "x" END IN (SELECT CASE WHEN NOT ("x" = CAST('NaN' AS DOUBLE PRECISION)) THEN "x" END FROM "orders" WHERE NOT CASE WHEN NOT ("x" = CAST('NaN' AS DOUBLE PRECISION)) THEN "x" END IS NULL GROUP BY CASE WHEN NOT ("x" = CAST('NaN' AS DOUBLE PRECISION)) THEN "x" END HAVING COUNT(*) > 1)) AS "mlctl rule 1" FROM "orders") AS "flagged" WHERE "mlctl rule 1" ORDER BY "id" LIMIT 10;

-- unique {"columns": ["id", "name"]}
SELECT COUNT(*) AS "rows", SUM(CASE WHEN NOT "id" IS NULL AND NOT "name" IS NULL THEN 1 ELSE 0 END) AS "c0" FROM "orders";
SELECT COALESCE(SUM("n"), 0) AS "failing" FROM (SELECT COUNT(*) AS "n" FROM "orders" WHERE NOT "id" IS NULL AND NOT "name" IS NULL GROUP BY "id", "name" HAVING COUNT(*) > 1) AS "groups";
SELECT "id" FROM (SELECT DISTINCT "id" FROM "orders" WHERE NOT "id" IS NULL AND NOT "name" IS NULL AND ("id", "name") IN (SELECT "id", "name" FROM "orders" WHERE NOT "id" IS NULL AND NOT "name" IS NULL GROUP BY "id", "name" HAVING COUNT(*) > 1) ORDER BY "id" LIMIT 5) AS "sample";
SELECT "id", "x", "small", "amount", "name", "flag", "day", "at", "zoned", "Straße ""1", SUBSTRING(CASE WHEN "mlctl rule 1" THEN '; unique id, name' ELSE '' END FROM 3) AS "mlctl_rules" FROM (SELECT *, (NOT "id" IS NULL AND NOT "name" IS NULL AND ("id", "name") IN (SELECT "id", "name" FROM "orders" WHERE NOT "id" IS NULL AND NOT "name" IS NULL GROUP BY "id", "name" HAVING COUNT(*) > 1)) AS "mlctl rule 1" FROM "orders") AS "flagged" WHERE "mlctl rule 1" ORDER BY "id" LIMIT 10;

-- foreign_key {"column": "id", "references": "users.user_id"}
SELECT COUNT(*) AS "rows", COUNT("id") AS "c0" FROM "orders";
SELECT COUNT(*) AS "failing" FROM "orders" WHERE NOT "id" IS NULL AND NOT "id" IN (SELECT "user_id" FROM "users" WHERE NOT "user_id" IS NULL);
SELECT "id" FROM (SELECT "id" FROM "orders" WHERE NOT "id" IS NULL AND NOT "id" IN (SELECT "user_id" FROM "users" WHERE NOT "user_id" IS NULL) ORDER BY "id" LIMIT 5) AS "sample";
SELECT "id", "x", "small", "amount", "name", "flag", "day", "at", "zoned", "Straße ""1", SUBSTRING(CASE WHEN "mlctl rule 1" THEN '; foreign_key id' ELSE '' END FROM 3) AS "mlctl_rules" FROM (SELECT *, (NOT "id" IS NULL AND NOT "id" IN (SELECT "user_id" FROM "users" WHERE NOT "user_id" IS NULL)) AS "mlctl rule 1" FROM "orders") AS "flagged" WHERE "mlctl rule 1" ORDER BY "id" LIMIT 10;

-- outliers {"columns": ["x", "amount"]}
SELECT COUNT(*) AS "rows", COUNT(CASE WHEN NOT ("x" = CAST('NaN' AS DOUBLE PRECISION)) THEN "x" END) AS "c0_0", AVG(CASE WHEN ABS("x") <= 1e+150 THEN "x" END) AS "m0_0", STDDEV_SAMP(CASE WHEN ABS("x") <= 1e+150 THEN "x" END) AS "s0_0", COUNT("amount") AS "c0_1", AVG(CAST("amount" AS DOUBLE PRECISION)) AS "m0_1", STDDEV_SAMP(CAST("amount" AS DOUBLE PRECISION)) AS "s0_1", SUM(CASE WHEN NOT CASE WHEN NOT ("x" = CAST('NaN' AS DOUBLE PRECISION)) THEN "x" END IS NULL OR NOT "amount" IS NULL THEN 1 ELSE 0 END) AS "u0" FROM "orders";
SELECT SUM(CASE WHEN CASE WHEN NOT ("x" = CAST('NaN' AS DOUBLE PRECISION)) THEN "x" END < CAST('-4.0' AS DOUBLE PRECISION) OR CASE WHEN NOT ("x" = CAST('NaN' AS DOUBLE PRECISION)) THEN "x" END > CAST('8.0' AS DOUBLE PRECISION) THEN 1 ELSE 0 END) AS "n0_0", SUM(CASE WHEN "amount" < CAST('-4.0' AS DOUBLE PRECISION) OR "amount" > CAST('8.0' AS DOUBLE PRECISION) THEN 1 ELSE 0 END) AS "n0_1", SUM(CASE WHEN CASE WHEN NOT ("x" = CAST('NaN' AS DOUBLE PRECISION)) THEN "x" END < CAST('-4.0' AS DOUBLE PRECISION) OR CASE WHEN NOT ("x" = CAST('NaN' AS DOUBLE PRECISION)) THEN "x" END > CAST('8.0' AS DOUBLE PRECISION) OR "amount" < CAST('-4.0' AS DOUBLE PRECISION) OR "amount" > CAST('8.0' AS DOUBLE PRECISION) THEN 1 ELSE 0 END) AS "f0" FROM "orders";
SELECT "id" FROM (SELECT "id" FROM "orders" WHERE CASE WHEN NOT ("x" = CAST('NaN' AS DOUBLE PRECISION)) THEN "x" END < CAST('-4.0' AS DOUBLE PRECISION) OR CASE WHEN NOT ("x" = CAST('NaN' AS DOUBLE PRECISION)) THEN "x" END > CAST('8.0' AS DOUBLE PRECISION) OR "amount" < CAST('-4.0' AS DOUBLE PRECISION) OR "amount" > CAST('8.0' AS DOUBLE PRECISION) ORDER BY "id" LIMIT 5) AS "sample";
SELECT "id", "x", "small", "amount", "name", "flag", "day", "at", "zoned", "Straße ""1", SUBSTRING(CASE WHEN "mlctl rule 1" THEN '; outliers x, amount' ELSE '' END FROM 3) AS "mlctl_rules" FROM (SELECT *, (CASE WHEN NOT ("x" = CAST('NaN' AS DOUBLE PRECISION)) THEN "x" END < CAST('-4.0' AS DOUBLE PRECISION) OR CASE WHEN NOT ("x" = CAST('NaN' AS DOUBLE PRECISION)) THEN "x" END > CAST('8.0' AS DOUBLE PRECISION) OR "amount" < CAST('-4.0' AS DOUBLE PRECISION) OR "amount" > CAST('8.0' AS DOUBLE PRECISION)) AS "mlctl rule 1" FROM "orders") AS "flagged" WHERE "mlctl rule 1" ORDER BY "id" LIMIT 10;

-- outliers {"columns": ["x"], "method": "iqr"}
SELECT COUNT(*) AS "rows", COUNT(CASE WHEN NOT ("x" = CAST('NaN' AS DOUBLE PRECISION)) THEN "x" END) AS "c0_0", COUNT(CASE WHEN ABS("x") <= 1e+150 THEN "x" END) AS "k0_0" FROM "orders";
SELECT PERCENTILE_CONT(0.25) WITHIN GROUP (ORDER BY CASE WHEN ABS("x") <= 1e+150 THEN "x" END) AS "first", PERCENTILE_CONT(0.75) WITHIN GROUP (ORDER BY CASE WHEN ABS("x") <= 1e+150 THEN "x" END) AS "third" FROM "orders";
SELECT SUM(CASE WHEN CASE WHEN NOT ("x" = CAST('NaN' AS DOUBLE PRECISION)) THEN "x" END < CAST('2.0' AS DOUBLE PRECISION) OR CASE WHEN NOT ("x" = CAST('NaN' AS DOUBLE PRECISION)) THEN "x" END > CAST('2.0' AS DOUBLE PRECISION) THEN 1 ELSE 0 END) AS "n0_0" FROM "orders";
SELECT "id" FROM (SELECT "id" FROM "orders" WHERE CASE WHEN NOT ("x" = CAST('NaN' AS DOUBLE PRECISION)) THEN "x" END < CAST('2.0' AS DOUBLE PRECISION) OR CASE WHEN NOT ("x" = CAST('NaN' AS DOUBLE PRECISION)) THEN "x" END > CAST('2.0' AS DOUBLE PRECISION) ORDER BY "id" LIMIT 5) AS "sample";
SELECT "id", "x", "small", "amount", "name", "flag", "day", "at", "zoned", "Straße ""1", SUBSTRING(CASE WHEN "mlctl rule 1" THEN '; outliers x' ELSE '' END FROM 3) AS "mlctl_rules" FROM (SELECT *, (CASE WHEN NOT ("x" = CAST('NaN' AS DOUBLE PRECISION)) THEN "x" END < CAST('2.0' AS DOUBLE PRECISION) OR CASE WHEN NOT ("x" = CAST('NaN' AS DOUBLE PRECISION)) THEN "x" END > CAST('2.0' AS DOUBLE PRECISION)) AS "mlctl rule 1" FROM "orders") AS "flagged" WHERE "mlctl rule 1" ORDER BY "id" LIMIT 10;

-- distribution {"column": "x"}
SELECT COUNT(*) AS "rows", COUNT(*) AS "b0_n", COUNT(CASE WHEN NOT ("x" = CAST('NaN' AS DOUBLE PRECISION)) THEN "x" END) AS "b0_c", SUM(CASE WHEN "x" < 0.5e0 THEN 1 ELSE 0 END) AS "b0_0", SUM(CASE WHEN "x" < 10.0e0 THEN 1 ELSE 0 END) AS "b0_1" FROM "orders";

-- distribution {"column": "amount", "method": "ks"}
SELECT COUNT(*) AS "rows", COUNT(*) AS "b0_n", COUNT("amount") AS "b0_c", SUM(CASE WHEN "amount" < 0.5e0 THEN 1 ELSE 0 END) AS "b0_0", SUM(CASE WHEN "amount" < 10.0e0 THEN 1 ELSE 0 END) AS "b0_1" FROM "orders";

-- distribution {"column": "name"}
SELECT COUNT(*) AS "rows", COUNT(*) AS "b0_n", COUNT("name") AS "b0_c", SUM(CASE WHEN "name" = 'it''s' THEN 1 ELSE 0 END) AS "b0_0", SUM(CASE WHEN "name" = 'b' THEN 1 ELSE 0 END) AS "b0_1" FROM "orders";

-- distribution {"column": "flag"}
SELECT COUNT(*) AS "rows", COUNT(*) AS "b0_n", COUNT("flag") AS "b0_c", SUM(CASE WHEN CAST("flag" AS TEXT) = 'it''s' THEN 1 ELSE 0 END) AS "b0_0", SUM(CASE WHEN CAST("flag" AS TEXT) = 'b' THEN 1 ELSE 0 END) AS "b0_1" FROM "orders";

-- distribution {"column": "at"}
SELECT COUNT(*) AS "rows", COUNT(*) AS "b0_n", COUNT("at") AS "b0_c", SUM(CASE WHEN "at" < CAST('2024-01-01 00:00:00.000000' AS TIMESTAMP) THEN 1 ELSE 0 END) AS "b0_0", SUM(CASE WHEN "at" < CAST('2024-01-02 00:00:00.500000' AS TIMESTAMP) THEN 1 ELSE 0 END) AS "b0_1" FROM "orders";

-- distribution {"column": "zoned"}
SELECT COUNT(*) AS "rows", COUNT(*) AS "b0_n", COUNT("zoned") AS "b0_c", SUM(CASE WHEN "zoned" < CAST('2024-01-01 00:00:00.000000+00:00' AS TIMESTAMPTZ) THEN 1 ELSE 0 END) AS "b0_0", SUM(CASE WHEN "zoned" < CAST('2024-01-02 00:00:00.500000+00:00' AS TIMESTAMPTZ) THEN 1 ELSE 0 END) AS "b0_1" FROM "orders";

-- freshness {"column": "at", "max_age": "1d"}
SELECT COUNT(*) AS "rows", DATE_PART('epoch', MAX(CASE WHEN "at" <= CAST('2026-01-01 00:00:00' AS TIMESTAMP) THEN "at" END)) AS "w0", SUM(CASE WHEN "at" > CAST('2026-01-01 00:00:00' AS TIMESTAMP) THEN 1 ELSE 0 END) AS "a0", COUNT("at") AS "c0" FROM "orders";

-- freshness {"column": "zoned", "max_age": "1d"}
SELECT COUNT(*) AS "rows", DATE_PART('epoch', MAX(CASE WHEN "zoned" <= CAST('2026-01-01 00:00:00+00:00' AS TIMESTAMPTZ) THEN "zoned" END)) AS "w0", SUM(CASE WHEN "zoned" > CAST('2026-01-01 00:00:00+00:00' AS TIMESTAMPTZ) THEN 1 ELSE 0 END) AS "a0", COUNT("zoned") AS "c0" FROM "orders";

-- freshness {"column": "day", "max_age": "1d"}
SELECT COUNT(*) AS "rows", DATE_PART('epoch', CAST(MAX(CASE WHEN "day" <= CAST('2026-01-01 00:00:00' AS TIMESTAMP) THEN "day" END) AS TIMESTAMP)) AS "w0", SUM(CASE WHEN "day" > CAST('2026-01-01 00:00:00' AS TIMESTAMP) THEN 1 ELSE 0 END) AS "a0", COUNT("day") AS "c0" FROM "orders";

-- sql {"query": "WITH few AS (SELECT * FROM Orders WHERE X < 0 -- odd\n) SELECT ID FROM few;"}
SELECT COUNT(*) AS "rows" FROM "orders";
SELECT COUNT(*) AS "failing" FROM (WITH "few" AS (SELECT * FROM "orders" WHERE "x" < 0) SELECT "id" FROM "few") AS "own";
SELECT * FROM (WITH "few" AS (SELECT * FROM "orders" WHERE "x" < 0) SELECT "id" FROM "few") AS "own" LIMIT 1;
SELECT "id" FROM (SELECT "id" FROM (WITH "few" AS (SELECT * FROM "orders" WHERE "x" < 0) SELECT "id" FROM "few") AS "own" WHERE TRUE ORDER BY "id" LIMIT 5) AS "sample";
SELECT "id", "x", "small", "amount", "name", "flag", "day", "at", "zoned", "Straße ""1", SUBSTRING(CASE WHEN "mlctl rule 1" THEN '; sql' ELSE '' END FROM 3) AS "mlctl_rules" FROM (SELECT *, ("id" IN (SELECT "id" FROM (WITH "few" AS (SELECT * FROM "orders" WHERE "x" < 0) SELECT "id" FROM "few") AS "own")) AS "mlctl rule 1" FROM "orders") AS "flagged" WHERE "mlctl rule 1" ORDER BY "id" LIMIT 10;

-- sql {"query": "SELECT o.id FROM orders o LEFT JOIN users u ON o.id = u.user_id WHERE u.user_id IS NULL", "datasets": ["users"]}
SELECT COUNT(*) AS "rows" FROM "orders";
SELECT COUNT(*) AS "failing" FROM (SELECT "o"."id" FROM "orders" AS "o" LEFT JOIN "users" AS "u" ON "o"."id" = "u"."user_id" WHERE "u"."user_id" IS NULL) AS "own";
SELECT * FROM (SELECT "o"."id" FROM "orders" AS "o" LEFT JOIN "users" AS "u" ON "o"."id" = "u"."user_id" WHERE "u"."user_id" IS NULL) AS "own" LIMIT 1;
SELECT "id" FROM (SELECT "id" FROM (SELECT "o"."id" FROM "orders" AS "o" LEFT JOIN "users" AS "u" ON "o"."id" = "u"."user_id" WHERE "u"."user_id" IS NULL) AS "own" WHERE TRUE ORDER BY "id" LIMIT 5) AS "sample";
SELECT "id", "x", "small", "amount", "name", "flag", "day", "at", "zoned", "Straße ""1", SUBSTRING(CASE WHEN "mlctl rule 1" THEN '; sql' ELSE '' END FROM 3) AS "mlctl_rules" FROM (SELECT *, ("id" IN (SELECT "id" FROM (SELECT "o"."id" FROM "orders" AS "o" LEFT JOIN "users" AS "u" ON "o"."id" = "u"."user_id" WHERE "u"."user_id" IS NULL) AS "own")) AS "mlctl rule 1" FROM "orders") AS "flagged" WHERE "mlctl rule 1" ORDER BY "id" LIMIT 10;
