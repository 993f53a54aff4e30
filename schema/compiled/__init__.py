"""Compile GraphQL operations that are sent repeatedly into Python functions.

graphql-core interprets an operation: for each object of the response it looks up fields, resolvers
and types anew, though these depend on the operation alone. This package looks them up once, when an
operation is sent for the second time, and writes the rest as Python source: a *plan*.

1. `executor.py` remembers operations that Strawberry has parsed, validated and executed once.
2. `plan_cache.py` keeps a plan for each operation and values of its Boolean variables.
3. `argument_compiler.py` generates functions from variables to the arguments of resolvers.
4. `selection_compiler.py` generates functions from results of resolvers to the response's data.
5. `sql_json.py` finds selections that PostgreSQL can render as JSON in place of objects.
6. `bound_operation.py` runs a plan: it reads arguments, calls resolvers and completes results.
7. `fallback.py`: generated code returns exactly graphql-core's result or raises. If it raises,
   graphql-core executes the operation with the results of root resolvers that are there already,
   and reports the error. `codegen.py` puts the source into `linecache`, so that tracebacks show it.

For example, the plan of this operation

    query Search($search: String) { churches(search: $search) { nodes { name limit } } }

reads its arguments by

    def arguments_churches_0(variables):
        arguments = {}
        if 'search' in variables:
            value = variables['search']
            if value is not None:
                if type(value) is not str:
                    raise ValueError
            arguments['search'] = value
        return arguments
    def read_1(variables):
        return [arguments_churches_0(variables)]

and completes what the resolver of `churches` returns by `root_5`:

    def Church_2(value, state):
        if type(value) is Fragment_0:
            return value
        if type(value) is not class_Church_1:
            raise ValueError
        v0 = value.name
        if type(v0) is not str:
            raise ValueError
        v1 = value.limit
        if v1 is not None:
            if type(v1) is not int or not -2147483648 <= v1 < 2147483648:
                raise ValueError
        data = {'name': v0, 'limit': v1}
        return data
    def list_3(value, state):
        if type(value) is not list and type(value) is not tuple:
            raise ValueError
        items = []
        for item in value:
            item = Church_2(item, state)
            items.append(item)
        return items
    def ChurchConnection_4(value, state):
        if type(value) is Fragment_0:
            return value
        v0 = value.nodes
        v0 = list_3(v0, state)
        data = {'nodes': v0}
        return data
    def root_5(value, state):
        value = ChurchConnection_4(value, state)
        return value

`Fragment_0` is orjson's class for JSON text, which PostgreSQL rendered.
"""
