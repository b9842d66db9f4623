//! One call through the table.

/// Calls a function of the table, or says that the module leaves it out.
macro_rules! call {
    ($functions:expr, $name:ident, $function:ident, $($argument:expr),* $(,)?) => {
        match $functions.table.$name {
            // SAFETY: the function comes from the module's own table, which stays loaded; every
            // argument is a number, NULL, or a pointer into a value that outlives this statement.
            Some(function) => fault::check(unsafe { function($($argument),*) }, Function::$function),
            None => Err(broken(stringify!($name), "FUNCTION_MISSING", "the module leaves this function out")),
        }
    };
}
