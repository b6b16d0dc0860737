-- +goose Up
-- A customer's licences in pages: with the ID, by which those of one moment are told apart.
CREATE INDEX licenses_of_customer ON licenses (customer_id, created_at, id);
DROP INDEX licenses_by_customer;
