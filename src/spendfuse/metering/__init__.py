"""What did this call cost? Usage, price book, meter, middleware, sinks."""
