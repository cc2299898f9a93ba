-- not_null {"columns": ["x", "Straße \"1"]}
SELECT COUNT(*) AS `rows`, COUNT_IF(CASE WHEN NOT ISNAN(`x`) THEN `x` END IS NULL) AS `n0_0`, COUNT_IF(`Straße "1` IS NULL) AS `n0_1`, COUNT_IF(CASE WHEN NOT ISNAN(`x`) THEN `x` END IS NULL OR `Straße "1` IS NULL) AS `f0` FROM `orders`;
SELECT `id` FROM (SELECT `id` FROM `orders` WHERE CASE WHEN NOT ISNAN(`x`) THEN `x` END IS NULL OR `Straße "1` IS NULL ORDER BY `id` NULLS LAST LIMIT 5) AS `sample`;
SELECT `id`, `x`, `small`, `amount`, `name`, `flag`, `day`, `at`, `zoned`, `Straße "1`, SUBSTRING(CASE WHEN `mlctl rule 1` THEN '; not_null x, Straße "1' ELSE '' END, 3) AS `mlctl_rules` FROM (SELECT *, (CASE WHEN NOT ISNAN(`x`) THEN `x` END IS NULL OR `Straße "1` IS NULL) AS `mlctl rule 1` FROM `orders`) AS `flagged` WHERE `mlctl rule 1` ORDER BY `id` NULLS LAST LIMIT 10;

-- range {"column": "id", "min": 1, "max": 10}
SELECT COUNT(*) AS `rows`, COUNT(`id`) AS `c0`, COUNT_IF(`id` < 1 OR `id` > 10) AS `f0` FROM `orders`;
SELECT `id` FROM (SELECT `id` FROM `orders` WHERE `id` < 1 OR `id` > 10 ORDER BY `id` NULLS LAST LIMIT 5) AS `sample`;
SELECT `id`, `x`, `small`, `amount`, `name`, `flag`, `day`, `at`, `zoned`, `Straße "1`, SUBSTRING(CASE WHEN `mlctl rule 1` THEN '; range id' ELSE '' END, 3) AS `mlctl_rules` FROM (SELECT *, (`id` < 1 OR `id` > 10) AS `mlctl rule 1` FROM `orders`) AS `flagged` WHERE `mlctl rule 1` ORDER BY `id` NULLS LAST LIMIT 10;

-- range {"column": "x", "min": -0.5}
SELECT COUNT(*) AS `rows`, COUNT(CASE WHEN NOT ISNAN(`x`) THEN `x` END) AS `c0`, COUNT_IF(CASE WHEN NOT ISNAN(`x`) THEN `x` END < CAST('-0.5' AS DOUBLE)) AS `f0` FROM `orders`;
SELECT `id` FROM (SELECT `id` FROM `orders` WHERE CASE WHEN NOT ISNAN(`x`) THEN `x` END < CAST('-0.5' AS DOUBLE) ORDER BY `id` NULLS LAST LIMIT 5) AS `sample`;
SELECT `id`, `x`, `small`, `amount`, `name`, `flag`, `day`, `at`, `zoned`, `Straße "1`, SUBSTRING(CASE WHEN `mlctl rule 1` THEN '; range x' ELSE '' END, 3) AS `mlctl_rules` FROM (SELECT *, (CASE WHEN NOT ISNAN(`x`) THEN `x` END < CAST('-0.5' AS DOUBLE)) AS `mlctl rule 1` FROM `orders`) AS `flagged` WHERE `mlctl rule 1` ORDER BY `id` NULLS LAST LIMIT 10;

-- range {"column": "small", "max": 0.1}
SELECT COUNT(*) AS `rows`, COUNT(CASE WHEN NOT ISNAN(`small`) THEN `small` END) AS `c0`, COUNT_IF(CASE WHEN NOT ISNAN(`small`) THEN `small` END > CAST('0.1' AS FLOAT)) AS `f0` FROM `orders`;
SELECT `id` FROM (SELECT `id` FROM `orders` WHERE CASE WHEN NOT ISNAN(`small`) THEN `small` END > CAST('0.1' AS FLOAT) ORDER BY `id` NULLS LAST LIMIT 5) AS `sample`;
SELECT `id`, `x`, `small`, `amount`, `name`, `flag`, `day`, `at`, `zoned`, `Straße "1`, SUBSTRING(CASE WHEN `mlctl rule 1` THEN '; range small' ELSE '' END, 3) AS `mlctl_rules` FROM (SELECT *, (CASE WHEN NOT ISNAN(`small`) THEN `small` END > CAST('0.1' AS FLOAT)) AS `mlctl rule 1` FROM `orders`) AS `flagged` WHERE `mlctl rule 1` ORDER BY `id` NULLS LAST LIMIT 10;

-- range {"column": "amount", "max": 39.1}
SELECT COUNT(*) AS `rows`, COUNT(`amount`) AS `c0`, COUNT_IF(`amount` > CAST('39.1' AS DOUBLE)) AS `f0` FROM `orders`;
SELECT `id` FROM (SELECT `id` FROM `orders` WHERE `amount` > CAST('39.1' AS DOUBLE) ORDER BY `id` NULLS LAST LIMIT 5) AS `sample`;
SELECT `id`, `x`, `small`, `amount`, `name`, `flag`, `day`, `at`, `zoned`, `Straße "1`, SUBSTRING(CASE WHEN `mlctl rule 1` THEN '; range amount' ELSE '' END, 3) AS `mlctl_rules` FROM (SELECT *, (`amount` > CAST('39.1' AS DOUBLE)) AS `mlctl rule 1` FROM `orders`) AS `flagged` WHERE `mlctl rule 1` ORDER BY `id` NULLS LAST LIMIT 10;

-- range {"column": "day", "min": "2024-01-03"}
SELECT COUNT(*) AS `rows`, COUNT(`day`) AS `c0`, COUNT_IF(`day` < CAST('2024-01-03 00:00:00' AS TIMESTAMP_NTZ)) AS `f0` FROM `orders`;
SELECT `id` FROM (SELECT `id` FROM `orders` WHERE `day` < CAST('2024-01-03 00:00:00' AS TIMESTAMP_NTZ) ORDER BY `id` NULLS LAST LIMIT 5) AS `sample`;
SELECT `id`, `x`, `small`, `amount`, `name`, `flag`, `day`, `at`, `zoned`, `Straße "1`, SUBSTRING(CASE WHEN `mlctl rule 1` THEN '; range day' ELSE '' END, 3) AS `mlctl_rules` FROM (SELECT *, (`day` < CAST('2024-01-03 00:00:00' AS TIMESTAMP_NTZ)) AS `mlctl rule 1` FROM `orders`) AS `flagged` WHERE `mlctl rule 1` ORDER BY `id` NULLS LAST LIMIT 10;

-- range {"column": "at", "min": "2024-01-01T02:00:00", "max": "2025-01-01"}
SELECT COUNT(*) AS `rows`, COUNT(`at`) AS `c0`, COUNT_IF(`at` < CAST('2024-01-01 02:00:00' AS TIMESTAMP_NTZ) OR `at` > CAST('2025-01-01 00:00:00' AS TIMESTAMP_NTZ)) AS `f0` FROM `orders`;
SELECT `id` FROM (SELECT `id` FROM `orders` WHERE `at` < CAST('2024-01-01 02:00:00' AS TIMESTAMP_NTZ) OR `at` > CAST('2025-01-01 00:00:00' AS TIMESTAMP_NTZ) ORDER BY `id` NULLS LAST LIMIT 5) AS `sample`;
SELECT `id`, `x`, `small`, `amount`, `name`, `flag`, `day`, `at`, `zoned`, `Straße "1`, SUBSTRING(CASE WHEN `mlctl rule 1` THEN '; range at' ELSE '' END, 3) AS `mlctl_rules` FROM (SELECT *, (`at` < CAST('2024-01-01 02:00:00' AS TIMESTAMP_NTZ) OR `at` > CAST('2025-01-01 00:00:00' AS TIMESTAMP_NTZ)) AS `mlctl rule 1` FROM `orders`) AS `flagged` WHERE `mlctl rule 1` ORDER BY `id` NULLS LAST LIMIT 10;

-- range {"column": "zoned", "max": "2024-01-02T16:00:00+01:00"}
SELECT COUNT(*) AS `rows`, COUNT(`zoned`) AS `c0`, COUNT_IF(`zoned` > CAST('2024-01-02 15:00:00+00:00' AS TIMESTAMP)) AS `f0` FROM `orders`;
SELECT `id` FROM (SELECT `id` FROM `orders` WHERE `zoned` > CAST('2024-01-02 15:00:00+00:00' AS TIMESTAMP) ORDER BY `id` NULLS LAST LIMIT 5) AS `sample`;
SELECT `id`, `x`, `small`, `amount`, `name`, `flag`, `day`, `at`, `zoned`, `Straße "1`, SUBSTRING(CASE WHEN `mlctl rule 1` THEN '; range zoned' ELSE '' END, 3) AS `mlctl_rules` FROM (SELECT *, (`zoned` > CAST('2024-01-02 15:00:00+00:00' AS TIMESTAMP)) AS `mlctl rule 1` FROM `orders`) AS `flagged` WHERE `mlctl rule 1` ORDER BY `id` NULLS LAST LIMIT 10;

-- set {"column": "name", "values": ["Zoë", "it's", "a\\b"]}
SELECT COUNT(*) AS `rows`, COUNT(`name`) AS `c0`, COUNT_IF(NOT `name` IN ('Zoë', 'it\'s', 'a\\b')) AS `f0` FROM `orders`;
SELECT `id` FROM (SELECT `id` FROM `orders` WHERE NOT `name` IN ('Zoë', 'it\'s', 'a\\b') ORDER BY `id` NULLS LAST LIMIT 5) AS `sample`;
SELECT `id`, `x`, `small`, `amount`, `name`, `flag`, `day`, `at`, `zoned`, `Straße "1`, SUBSTRING(CASE WHEN `mlctl rule 1` THEN '; set name' ELSE '' END, 3) AS `mlctl_rules` FROM (SELECT *, (NOT `name` IN ('Zoë', 'it\'s', 'a\\b')) AS `mlctl rule 1` FROM `orders`) AS `flagged` WHERE `mlctl rule 1` ORDER BY `id` NULLS LAST LIMIT 10;

-- set {"column": "x", "values": [1, 2.5]}
SELECT COUNT(*) AS `rows`, COUNT(CASE WHEN NOT ISNAN(`x`) THEN `x` END) AS `c0`, COUNT_IF(NOT CASE WHEN NOT ISNAN(`x`) THEN `x` END IN (CAST('1.0' AS DOUBLE), CAST('2.5' AS DOUBLE))) AS `f0` FROM `orders`;
SELECT `id` FROM (SELECT `id` FROM `orders` WHERE NOT CASE WHEN NOT ISNAN(`x`) THEN `x` END IN (CAST('1.0' AS DOUBLE), CAST('2.5' AS DOUBLE)) ORDER BY `id` NULLS LAST LIMIT 5) AS `sample`;
SELECT `id`, `x`, `small`, `amount`, `name`, `flag`, `day`, `at`, `zoned`, `Straße "1`, SUBSTRING(CASE WHEN `mlctl rule 1` THEN '; set x' ELSE '' END, 3) AS `mlctl_rules` FROM (SELECT *, (NOT CASE WHEN NOT ISNAN(`x`) THEN `x` END IN (CAST('1.0' AS DOUBLE), CAST('2.5' AS DOUBLE))) AS `mlctl rule 1` FROM `orders`) AS `flagged` WHERE `mlctl rule 1` ORDER BY `id` NULLS LAST LIMIT 10;

-- set {"column": "amount", "values": [1.1]}
SELECT COUNT(*) AS `rows`, COUNT(`amount`) AS `c0`, COUNT_IF(NOT `amount` IN (1.1)) AS `f0` FROM `orders`;
SELECT `id` FROM (SELECT `id` FROM `orders` WHERE NOT `amount` IN (1.1) ORDER BY `id` NULLS LAST LIMIT 5) AS `sample`;
SELECT `id`, `x`, `small`, `amount`, `name`, `flag`, `day`, `at`, `zoned`, `Straße "1`, SUBSTRING(CASE WHEN `mlctl rule 1` THEN '; set amount' ELSE '' END, 3) AS `mlctl_rules` FROM (SELECT *, (NOT `amount` IN (1.1)) AS `mlctl rule 1` FROM `orders`) AS `flagged` WHERE `mlctl rule 1` ORDER BY `id` NULLS LAST LIMIT 10;

-- set {"column": "flag", "values": [true]}
SELECT COUNT(*) AS `rows`, COUNT(`flag`) AS `c0`, COUNT_IF(NOT `flag` IN (TRUE)) AS `f0` FROM `orders`;
SELECT `id` FROM (SELECT `id` FROM `orders` WHERE NOT `flag` IN (TRUE) ORDER BY `id` NULLS LAST LIMIT 5) AS `sample`;
SELECT `id`, `x`, `small`, `amount`, `name`, `flag`, `day`, `at`, `zoned`, `Straße "1`, SUBSTRING(CASE WHEN `mlctl rule 1` THEN '; set flag' ELSE '' END, 3) AS `mlctl_rules` FROM (SELECT *, (NOT `flag` IN (TRUE)) AS `mlctl rule 1` FROM `orders`) AS `flagged` WHERE `mlctl rule 1` ORDER BY `id` NULLS LAST LIMIT 10;

-- set {"column": "at", "values": ["2024-01-01"]}
SELECT COUNT(*) AS `rows`, COUNT(`at`) AS `c0`, COUNT_IF(NOT `at` IN (CAST('2024-01-01 00:00:00' AS TIMESTAMP_NTZ))) AS `f0` FROM `orders`;
SELECT `id` FROM (SELECT `id` FROM `orders` WHERE NOT `at` IN (CAST('2024-01-01 00:00:00' AS TIMESTAMP_NTZ)) ORDER BY `id` NULLS LAST LIMIT 5) AS `sample`;
SELECT `id`, `x`, `small`, `amount`, `name`, `flag`, `day`, `at`, `zoned`, `Straße "1`, SUBSTRING(CASE WHEN `mlctl rule 1` THEN '; set at' ELSE '' END, 3) AS `mlctl_rules` FROM (SELECT *, (NOT `at` IN (CAST('2024-01-01 00:00:00' AS TIMESTAMP_NTZ))) AS `mlctl rule 1` FROM `orders`) AS `flagged` WHERE `mlctl rule 1` ORDER BY `id` NULLS LAST LIMIT 10;

-- regex {"column": "name", "pattern": "(?i)[A-Z\\d]-(\\d{3}|.)'\\.?$"}
SELECT '' RLIKE '(?diu)^(?:[A-Z0-9]-(?:[0-9]{3}|.)\'\\.?\\z)\\z' AS `matches`;
SELECT COUNT(*) AS `rows`, COUNT(`name`) AS `c0`, COUNT_IF(NOT `name` RLIKE '(?diu)^(?:[A-Z0-9]-(?:[0-9]{3}|.)\'\\.?\\z)\\z') AS `f0` FROM `orders`;
SELECT `id` FROM (SELECT `id` FROM `orders` WHERE NOT `name` RLIKE '(?diu)^(?:[A-Z0-9]-(?:[0-9]{3}|.)\'\\.?\\z)\\z' ORDER BY `id` NULLS LAST LIMIT 5) AS `sample`;
SELECT `id`, `x`, `small`, `amount`, `name`, `flag`, `day`, `at`, `zoned`, `Straße "1`, SUBSTRING(CASE WHEN `mlctl rule 1` THEN '; regex name' ELSE '' END, 3) AS `mlctl_rules` FROM (SELECT *, (NOT `name` RLIKE '(?diu)^(?:[A-Z0-9]-(?:[0-9]{3}|.)\'\\.?\\z)\\z') AS `mlctl rule 1` FROM `orders`) AS `flagged` WHERE `mlctl rule 1` ORDER BY `id` NULLS LAST LIMIT 10;

-- length {"column": "name", "min": 1, "max": 5}
SELECT COUNT(*) AS `rows`, COUNT(`name`) AS `c0`, COUNT_IF(LENGTH(`name`) < 1 OR LENGTH(`name`) > 5) AS `f0` FROM `orders`;
SELECT `id` FROM (SELECT `id` FROM `orders` WHERE LENGTH(`name`) < 1 OR LENGTH(`name`) > 5 ORDER BY `id` NULLS LAST LIMIT 5) AS `sample`;
SELECT `id`, `x`, `small`, `amount`, `name`, `flag`, `day`, `at`, `zoned`, `Straße "1`, SUBSTRING(CASE WHEN `mlctl rule 1` THEN '; length name' ELSE '' END, 3) AS `mlctl_rules` FROM (SELECT *, (LENGTH(`name`) < 1 OR LENGTH(`name`) > 5) AS `mlctl rule 1` FROM `orders`) AS `flagged` WHERE `mlctl rule 1` ORDER BY `id` NULLS LAST LIMIT 10;

-- unique {"columns": ["x"]}
SELECT COUNT(*) AS `rows`, COUNT_IF(NOT CASE WHEN NOT ISNAN(`x`) THEN `x` END IS NULL) AS `c0` FROM `orders`;
SELECT COUNT(DISTINCT CASE WHEN NOT ISNAN(`x`) THEN `x` END) AS `n` FROM `orders`;
SELECT COALESCE(SUM(`n`), 0) AS `failing` FROM (SELECT COUNT(*) AS `n` FROM `orders` WHERE NOT CASE WHEN NOT ISNAN(`x`) THEN `x` END IS NULL GROUP BY CASE WHEN NOT ISNAN(`x`) THEN `x` END HAVING COUNT(*) > 1) AS `groups`;
SELECT `id` FROM (SELECT DISTINCT `id` FROM `orders` WHERE NOT CASE WHEN NOT ISNAN(`x`) THEN `x` END IS NULL AND CASE WHEN NOT ISNAN(`x`) THEN `x` END IN (SELECT CASE WHEN NOT ISNAN(`x`) THEN `x` END FROM `orders` WHERE NOT CASE WHEN NOT ISNAN(`x`) THEN `x` END IS NULL GROUP BY CASE WHEN NOT ISNAN(`x`) THEN `x` END HAVING COUNT(*) > 1) ORDER BY `id` NULLS LAST LIMIT 5) AS `sample`;
SELECT `id`, `x`, `small`, `amount`, `name`, `flag`, `day`, `at`, `zoned`, `Straße "1`, SUBSTRING(CASE WHEN `mlctl rule 1` THEN '; unique x' ELSE '' END, 3) AS `mlctl_rules` FROM (SELECT *, (NOT CASE WHEN NOT ISNAN(`x`) THEN `x` END IS NULL AND CASE WHEN NOT ISNAN(`x`) THEN `x` END IN (SELECT CASE WHEN NOT ISNAN(`x`) THEN `x` END FROM `orders` WHERE NOT CASE WHEN NOT ISNAN(`x`) THEN `x` END IS NULL GROUP BY CASE WHEN NOT ISNAN(`x`) THEN `x` END HAVING COUNT(*) > 1)) AS `mlctl rule 1` FROM `orders`) AS `flagged` WHERE `mlctl rule 1` ORDER BY `id` NULLS LAST LIMIT 10;

-- unique {"columns": ["id", "name"]}
SELECT COUNT(*) AS `rows`, COUNT_IF(NOT `id` IS NULL AND NOT `name` IS NULL) AS `c0` FROM `orders`;
SELECT COALESCE(SUM(`n`), 0) AS `failing` FROM (SELECT COUNT(*) AS `n` FROM `orders` WHERE NOT `id` IS NULL AND NOT `name` IS NULL GROUP BY `id`, `name` HAVING COUNT(*) > 1) AS `groups`;
SELECT `id` FROM (SELECT DISTINCT `id` FROM `orders` WHERE NOT `id` IS NULL AND NOT `name` IS NULL AND (`id`, `name`) IN (SELECT `id`, `name` FROM `orders` WHERE NOT `id` IS NULL AND NOT `name` IS NULL GROUP BY `id`, `name` HAVING COUNT(*) > 1) ORDER BY `id` NULLS LAST LIMIT 5) AS `sample`;
SELECT `id`, `x`, `small`, `amount`, `name`, `flag`, `day`, `at`, `zoned`, `Straße "1`, SUBSTRING(CASE WHEN `mlctl rule 1` THEN '; unique id, name' ELSE '' END, 3) AS `mlctl_rules` FROM (SELECT *, (NOT `id` IS NULL AND NOT `name` IS NULL AND (`id`, `name`) IN (SELECT `id`, `name` FROM `orders` WHERE NOT `id` IS NULL AND NOT `name` IS NULL GROUP BY `id`, `name` HAVING COUNT(*) > 1)) AS `mlctl rule 1` FROM `orders`) AS `flagged` WHERE `mlctl rule 1` ORDER BY `id` NULLS LAST LIMIT 10;

-- foreign_key {"column": "id", "references": "users.user_id"}
SELECT COUNT(*) AS `rows`, COUNT(`id`) AS `c0` FROM `orders`;
SELECT COUNT(*) AS `failing` FROM `orders` WHERE NOT `id` IS NULL AND NOT `id` IN (SELECT `user_id` FROM `users` WHERE NOT `user_id` IS NULL);
SELECT `id` FROM (SELECT `id` FROM `orders` WHERE NOT `id` IS NULL AND NOT `id` IN (SELECT `user_id` FROM `users` WHERE NOT `user_id` IS NULL) ORDER BY `id` NULLS LAST LIMIT 5) AS `sample`;
SELECT `id`, `x`, `small`, `amount`, `name`, `flag`, `day`, `at`, `zoned`, `Straße "1`, SUBSTRING(CASE WHEN `mlctl rule 1` THEN '; foreign_key id' ELSE '' END, 3) AS `mlctl_rules` FROM (SELECT *, (NOT `id` IS NULL AND NOT `id` IN (SELECT `user_id` FROM `users` WHERE NOT `user_id` IS NULL)) AS `mlctl rule 1` FROM `orders`) AS `flagged` WHERE `mlctl rule 1` ORDER BY `id` NULLS LAST LIMIT 10;

-- outliers {"columns": ["x", "amount"]}
SELECT COUNT(*) AS `rows`, COUNT(CASE WHEN NOT ISNAN(`x`) THEN `x` END) AS `c0_0`, AVG(CASE WHEN ABS(`x`) <= 1e+150 THEN `x` END) AS `m0_0`, STDDEV_SAMP(CASE WHEN ABS(`x`) <= 1e+150 THEN `x` END) AS `s0_0`, COUNT(`amount`) AS `c0_1`, AVG(CAST(`amount` AS DOUBLE)) AS `m0_1`, STDDEV_SAMP(CAST(`amount` AS DOUBLE)) AS `s0_1`, COUNT_IF(NOT CASE WHEN NOT ISNAN(`x`) THEN `x` END IS NULL OR NOT `amount` IS NULL) AS `u0` FROM `orders`;
SELECT COUNT_IF(CASE WHEN NOT ISNAN(`x`) THEN `x` END < CAST('-4.0' AS DOUBLE) OR CASE WHEN NOT ISNAN(`x`) THEN `x` END > CAST('8.0' AS DOUBLE)) AS `n0_0`, COUNT_IF(`amount` < CAST('-4.0' AS DOUBLE) OR `amount` > CAST('8.0' AS DOUBLE)) AS `n0_1`, COUNT_IF(CASE WHEN NOT ISNAN(`x`) THEN `x` END < CAST('-4.0' AS DOUBLE) OR CASE WHEN NOT ISNAN(`x`) THEN `x` END > CAST('8.0' AS DOUBLE) OR `amount` < CAST('-4.0' AS DOUBLE) OR `amount` > CAST('8.0' AS DOUBLE)) AS `f0` FROM `orders`;
SELECT `id` FROM (SELECT `id` FROM `orders` WHERE CASE WHEN NOT ISNAN(`x`) THEN `x` END < CAST('-4.0' AS DOUBLE) OR CASE WHEN NOT ISNAN(`x`) THEN `x` END > CAST('8.0' AS DOUBLE) OR `amount` < CAST('-4.0' AS DOUBLE) OR `amount` > CAST('8.0' AS DOUBLE) ORDER BY `id` NULLS LAST LIMIT 5) AS `sample`;
SELECT `id`, `x`, `small`, `amount`, `name`, `flag`, `day`, `at`, `zoned`, `Straße "1`, SUBSTRING(CASE WHEN `mlctl rule 1` THEN '; outliers x, amount' ELSE '' END, 3) AS `mlctl_rules` FROM (SELECT *, (CASE WHEN NOT ISNAN(`x`) THEN `x` END < CAST('-4.0' AS DOUBLE) OR CASE WHEN NOT ISNAN(`x`) THEN `x` END > CAST('8.0' AS DOUBLE) OR `amount` < CAST('-4.0' AS DOUBLE) OR `amount` > CAST('8.0' AS DOUBLE)) AS `mlctl rule 1` FROM `orders`) AS `flagged` WHERE `mlctl rule 1` ORDER BY `id` NULLS LAST LIMIT 10;

-- outliers {"columns": ["x"], "method": "iqr"}
SELECT COUNT(*) AS `rows`, COUNT(CASE WHEN NOT ISNAN(`x`) THEN `x` END) AS `c0_0`, COUNT(CASE WHEN ABS(`x`) <= 1e+150 THEN `x` END) AS `k0_0` FROM `orders`;
SELECT PERCENTILE(CASE WHEN ABS(`x`) <= 1e+150 THEN `x` END, 0.25) AS `first`, PERCENTILE(CASE WHEN ABS(`x`) <= 1e+150 THEN `x` END, 0.75) AS `third` FROM `orders`;
SELECT COUNT_IF(CASE WHEN NOT ISNAN(`x`) THEN `x` END < CAST('2.0' AS DOUBLE) OR CASE WHEN NOT ISNAN(`x`) THEN `x` END > CAST('2.0' AS DOUBLE)) AS `n0_0` FROM `orders`;
SELECT `id` FROM (SELECT `id` FROM `orders` WHERE CASE WHEN NOT ISNAN(`x`) THEN `x` END < CAST('2.0' AS DOUBLE) OR CASE WHEN NOT ISNAN(`x`) THEN `x` END > CAST('2.0' AS DOUBLE) ORDER BY `id` NULLS LAST LIMIT 5) AS `sample`;
SELECT `id`, `x`, `small`, `amount`, `name`, `flag`, `day`, `at`, `zoned`, `Straße "1`, SUBSTRING(CASE WHEN `mlctl rule 1` THEN '; outliers x' ELSE '' END, 3) AS `mlctl_rules` FROM (SELECT *, (CASE WHEN NOT ISNAN(`x`) THEN `x` END < CAST('2.0' AS DOUBLE) OR CASE WHEN NOT ISNAN(`x`) THEN `x` END > CAST('2.0' AS DOUBLE)) AS `mlctl rule 1` FROM `orders`) AS `flagged` WHERE `mlctl rule 1` ORDER BY `id` NULLS LAST LIMIT 10;

-- distribution {"column": "x"}
SELECT COUNT(*) AS `rows`, COUNT(*) AS `b0_n`, COUNT(CASE WHEN NOT ISNAN(`x`) THEN `x` END) AS `b0_c`, COUNT_IF(`x` < 0.5e0) AS `b0_0`, COUNT_IF(`x` < 10.0e0) AS `b0_1` FROM `orders`;

-- distribution {"column": "amount", "method": "ks"}
SELECT COUNT(*) AS `rows`, COUNT(*) AS `b0_n`, COUNT(`amount`) AS `b0_c`, COUNT_IF(`amount` < 0.5e0) AS `b0_0`, COUNT_IF(`amount` < 10.0e0) AS `b0_1` FROM `orders`;

-- distribution {"column": "name"}
SELECT COUNT(*) AS `rows`, COUNT(*) AS `b0_n`, COUNT(`name`) AS `b0_c`, COUNT_IF(`name` = 'it\'s') AS `b0_0`, COUNT_IF(`name` = 'b') AS `b0_1` FROM `orders`;

-- distribution {"column": "flag"}
SELECT COUNT(*) AS `rows`, COUNT(*) AS `b0_n`, COUNT(`flag`) AS `b0_c`, COUNT_IF(CAST(`flag` AS STRING) = 'it\'s') AS `b0_0`, COUNT_IF(CAST(`flag` AS STRING) = 'b') AS `b0_1` FROM `orders`;

-- distribution {"column": "at"}
SELECT COUNT(*) AS `rows`, COUNT(*) AS `b0_n`, COUNT(`at`) AS `b0_c`, COUNT_IF(`at` < CAST('2024-01-01 00:00:00.000000' AS TIMESTAMP_NTZ)) AS `b0_0`, COUNT_IF(`at` < CAST('2024-01-02 00:00:00.500000' AS TIMESTAMP_NTZ)) AS `b0_1` FROM `orders`;

-- distribution {"column": "zoned"}
SELECT COUNT(*) AS `rows`, COUNT(*) AS `b0_n`, COUNT(`zoned`) AS `b0_c`, COUNT_IF(`zoned` < CAST('2024-01-01 00:00:00.000000+00:00' AS TIMESTAMP)) AS `b0_0`, COUNT_IF(`zoned` < CAST('2024-01-02 00:00:00.500000+00:00' AS TIMESTAMP)) AS `b0_1` FROM `orders`;

-- freshness {"column": "at", "max_age": "1d"}
SELECT COUNT(*) AS `rows`, (CAST(UNIX_MICROS(CAST(MAX(CASE WHEN `at` <= CAST('2026-01-01 00:00:00' AS TIMESTAMP_NTZ) THEN `at` END) AS TIMESTAMP)) AS DOUBLE) / 1e6) AS `w0`, COUNT_IF(`at` > CAST('2026-01-01 00:00:00' AS TIMESTAMP_NTZ)) AS `a0`, COUNT(`at`) AS `c0` FROM `orders`;

-- freshness {"column": "zoned", "max_age": "1d"}
SELECT COUNT(*) AS `rows`, (CAST(UNIX_MICROS(CAST(MAX(CASE WHEN `zoned` <= CAST('2026-01-01 00:00:00+00:00' AS TIMESTAMP) THEN `zoned` END) AS TIMESTAMP)) AS DOUBLE) / 1e6) AS `w0`, COUNT_IF(`zoned` > CAST('2026-01-01 00:00:00+00:00' AS TIMESTAMP)) AS `a0`, COUNT(`zoned`) AS `c0` FROM `orders`;

-- freshness {"column": "day", "max_age": "1d"}
SELECT COUNT(*) AS `rows`, (CAST(UNIX_MICROS(CAST(CAST(MAX(CASE WHEN `day` <= CAST('2026-01-01 00:00:00' AS TIMESTAMP_NTZ) THEN `day` END) AS TIMESTAMP_NTZ) AS TIMESTAMP)) AS DOUBLE) / 1e6) AS `w0`, COUNT_IF(`day` > CAST('2026-01-01 00:00:00' AS TIMESTAMP_NTZ)) AS `a0`, COUNT(`day`) AS `c0` FROM `orders`;

-- sql {"query": "WITH few AS (SELECT * FROM Orders WHERE X < 0 -- odd\n) SELECT ID FROM few;"}
SELECT COUNT(*) AS `rows` FROM `orders`;
WITH `few` AS (SELECT * FROM `orders` WHERE `x` < 0) SELECT COUNT(*) AS `failing` FROM (SELECT `id` FROM `few`) AS `own`;
WITH `few` AS (SELECT * FROM `orders` WHERE `x` < 0) SELECT * FROM (SELECT `id` FROM `few`) AS `own` LIMIT 1;
WITH `few` AS (SELECT * FROM `orders` WHERE `x` < 0) SELECT `id` FROM (SELECT `id` FROM (SELECT `id` FROM `few`) AS `own` WHERE TRUE ORDER BY `id` NULLS LAST LIMIT 5) AS `sample`;
WITH `few` AS (SELECT * FROM `orders` WHERE `x` < 0) SELECT `id`, `x`, `small`, `amount`, `name`, `flag`, `day`, `at`, `zoned`, `Straße "1`, SUBSTRING(CASE WHEN `mlctl rule 1` THEN '; sql' ELSE '' END, 3) AS `mlctl_rules` FROM (SELECT *, (`id` IN (SELECT `id` FROM (SELECT `id` FROM `few`) AS `own`)) AS `mlctl rule 1` FROM `orders`) AS `flagged` WHERE `mlctl rule 1` ORDER BY `id` NULLS LAST LIMIT 10;

-- sql {"query": "SELECT o.id FROM orders o LEFT JOIN users u ON o.id = u.user_id WHERE u.user_id IS NULL", "datasets": ["users"]}
SELECT COUNT(*) AS `rows` FROM `orders`;
SELECT COUNT(*) AS `failing` FROM (SELECT `o`.`id` FROM `orders` AS `o` LEFT JOIN `users` AS `u` ON `o`.`id` = `u`.`user_id` WHERE `u`.`user_id` IS NULL) AS `own`;
SELECT * FROM (SELECT `o`.`id` FROM `orders` AS `o` LEFT JOIN `users` AS `u` ON `o`.`id` = `u`.`user_id` WHERE `u`.`user_id` IS NULL) AS `own` LIMIT 1;
SELECT `id` FROM (SELECT `id` FROM (SELECT `o`.`id` FROM `orders` AS `o` LEFT JOIN `users` AS `u` ON `o`.`id` = `u`.`user_id` WHERE `u`.`user_id` IS NULL) AS `own` WHERE TRUE ORDER BY `id` NULLS LAST LIMIT 5) AS `sample`;
SELECT `id`, `x`, `small`, `amount`, `name`, `flag`, `day`, `at`, `zoned`, `Straße "1`, SUBSTRING(CASE WHEN `mlctl rule 1` THEN '; sql' ELSE '' END, 3) AS `mlctl_rules` FROM (SELECT *, (`id` IN (SELECT `id` FROM (SELECT `o`.`id` FROM `orders` AS `o` LEFT JOIN `users` AS `u` ON `o`.`id` = `u`.`user_id` WHERE `u`.`user_id` IS NULL) AS `own`)) AS `mlctl rule 1` FROM `orders`) AS `flagged` WHERE `mlctl rule 1` ORDER BY `id` NULLS LAST LIMIT 10;
