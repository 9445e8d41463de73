"""What the static alchemist looks for in a syntax tree: one tree-sitter query a language.

Captures `function` and `method` are definitions, `class` a class or struct with a name, `call` the called expression,
`type` a type that is named or constructed, `import` a module, `raise` an error; any other capture is a form that
stands for itself (`lambda`, `try`, ...). Grammar: https://tree-sitter.github.io/tree-sitter/using-parsers/queries
"""

QUERIES = {
    "python": """
        (module (function_definition) @function)
        (module (decorated_definition definition: (function_definition) @function))
        (class_definition body: (block (function_definition) @method))
        (class_definition body: (block (decorated_definition definition: (function_definition) @method)))
        (class_definition name: (identifier) @class)
        (class_definition superclasses: (argument_list (identifier) @base (#not-eq? @base "object")))
        (call function: [(identifier) (attribute)] @call)
        (import_statement name: (dotted_name) @import)
        (import_statement name: (aliased_import name: (dotted_name) @import))
        (import_from_statement module_name: (dotted_name) @import)
        ((attribute object: (identifier) @import)
          (#any-of? @import "functools" "heapq" "itertools" "json" "math" "operator" "os" "re" "sys"))
        (raise_statement . (identifier) @raise)
        (raise_statement . (call function: (identifier) @raise))
        (decorator [(identifier) (attribute)] @decorator)
        (decorator (call function: [(identifier) (attribute)] @decorator))
        (list_comprehension) @list_comprehension
        (dictionary_comprehension) @dict_comprehension
        (set_comprehension) @set_comprehension
        (generator_expression) @generator_expression
        (lambda) @lambda
        (yield) @yield
        (await) @await
        (with_statement) @with
        (try_statement (except_clause)) @try
        (match_statement) @match
        (typed_parameter) @type_hint
        (function_definition return_type: (type)) @type_hint
        (string (interpolation)) @interpolation
        (comparison_operator (identifier) @dunder (#eq? @dunder "__name__")) @main_guard
        (for_statement body: (block (for_statement))) @nested_loops
        (assert_statement) @assert
        ((attribute) @path (#eq? @path "sys.argv"))
        ((attribute) @path (#match? @path "^sys[.]stdin[.](read|readline|readlines|buffer)$"))
        (for_statement right: ((attribute) @path (#eq? @path "sys.stdin")))
        (for_in_clause right: ((attribute) @path (#eq? @path "sys.stdin")))
        ((call function: (_) @reader arguments: (argument_list (attribute) @path))
            (#eq? @path "sys.stdin") (#not-match? @reader "^(hasattr|getattr|isinstance|type|id)$"))
        (binary_operator operator: ["<<" ">>" "^"] right: (integer)) @bitwise
        (binary_operator operator: "&" right: (integer)) @bitwise
    """,
    "javascript": """
        (function_declaration) @function
        (generator_function_declaration) @function
        (variable_declarator name: (identifier) value: [(arrow_function) (function_expression)]) @function
        (method_definition) @method
        (class_declaration name: (identifier) @class)
        (class_heritage) @base
        (call_expression function: [(identifier) (member_expression)] @call)
        (new_expression constructor: (identifier) @type)
        (throw_statement (new_expression constructor: (identifier) @raise))
        (import_statement source: (string (string_fragment) @import))
        ((call_expression function: (identifier) @require arguments: (arguments (string (string_fragment) @import)))
          (#eq? @require "require"))
        (arrow_function) @lambda
        (yield_expression) @yield
        (await_expression) @await
        (try_statement handler: (catch_clause)) @try
        (switch_statement) @switch
        (template_string (template_substitution)) @interpolation
        (regex) @regex_literal
        ((member_expression) @path (#any-of? @path "process.stdin" "process.argv"))
        (for_statement body: (statement_block (for_statement))) @nested_loops
        (binary_expression operator: ["<<" ">>" ">>>" "^" "&"] right: (number)) @bitwise
    """,
    "java": """
        (method_declaration) @method
        (class_declaration name: (identifier) @class)
        (record_declaration) @record
        (interface_declaration) @interface
        (enum_declaration) @enum
        (superclass) @base
        (class_declaration type_parameters: (type_parameters)) @generic
        (method_declaration type_parameters: (type_parameters)) @generic
        (method_invocation) @call
        (object_creation_expression type: (type_identifier) @type)
        (object_creation_expression type: (generic_type (type_identifier) @type))
        (throw_statement (object_creation_expression type: (type_identifier) @raise))
        (import_declaration (scoped_identifier) @import)
        (lambda_expression) @lambda
        ((field_access) @path (#eq? @path "System.in"))
        (try_statement (catch_clause)) @try
        (try_with_resources_statement) @with
        (switch_expression) @switch
        (for_statement body: (block (for_statement))) @nested_loops
        (binary_expression operator: ["<<" ">>" ">>>" "^" "&"] right: (decimal_integer_literal)) @bitwise
        (synchronized_statement) @lock
        (modifiers "synchronized") @lock
    """,
    "go": """
        (function_declaration) @function
        (method_declaration) @method
        (type_spec name: (type_identifier) @class type: (struct_type))
        (type_spec type: (interface_type)) @interface
        (type_parameter_list) @generic
        (call_expression function: [(identifier) (selector_expression)] @call)
        (import_spec path: (interpreted_string_literal) @import)
        (go_statement) @goroutine
        (defer_statement) @defer
        (channel_type) @channel
        (map_type) @map_type
        (func_literal) @lambda
        (expression_switch_statement) @switch
        (type_switch_statement) @switch
        (function_declaration result: (type_identifier) @result_error (#eq? @result_error "error"))
        (function_declaration result: (parameter_list (parameter_declaration type: (type_identifier) @result_error))
          (#eq? @result_error "error"))
        (for_statement body: (block (statement_list (for_statement)))) @nested_loops
        ((selector_expression) @path (#any-of? @path "os.Stdin" "os.Args"))
        (binary_expression operator: ["<<" ">>" "^" "&"] right: (int_literal)) @bitwise
    """,
    "cpp": """
        (translation_unit (function_definition) @function)
        (template_declaration (function_definition) @function)
        (field_declaration_list (function_definition) @method)
        (class_specifier name: (type_identifier) @class body: (_))
        (struct_specifier name: (type_identifier) @class body: (_))
        (enum_specifier body: (_)) @enum
        (base_class_clause) @base
        (template_declaration) @generic
        (call_expression function: [(identifier) (field_expression) (qualified_identifier)] @call)
        (declaration type: (template_type name: (type_identifier) @type))
        (template_type name: (type_identifier) @type)
        (template_function name: (identifier) @call)
        (throw_statement (call_expression function: (qualified_identifier) @raise))
        (throw_statement (call_expression function: (identifier) @raise))
        (preproc_include path: (_) @import)
        (lambda_expression) @lambda
        (try_statement (catch_clause)) @try
        (switch_statement) @switch
        (for_statement body: (compound_statement (for_statement))) @nested_loops
        ((identifier) @name (#any-of? @name "cin" "cout" "mt19937" "ifstream" "ofstream"))
        (binary_expression operator: ["^" "&"] right: (number_literal)) @bitwise
    """,
    "rust": """
        (source_file (function_item) @function)
        (impl_item body: (declaration_list (function_item) @method))
        (struct_item name: (type_identifier) @class)
        (enum_item) @enum
        (trait_item) @interface
        (function_item type_parameters: (type_parameters (type_parameter))) @generic
        (call_expression function: [(identifier) (field_expression) (scoped_identifier)] @call)
        (macro_invocation macro: (identifier) @macro)
        (use_declaration argument: (_) @import)
        (function_item return_type: (generic_type type: (type_identifier) @returns))
        (closure_expression) @lambda
        (match_expression) @match
        (await_expression) @await
        (for_expression body: (block (expression_statement (for_expression)))) @nested_loops
        (for_expression body: (block (for_expression))) @nested_loops
        (binary_expression operator: ["<<" ">>" "^" "&"] right: (integer_literal)) @bitwise
    """,
}
